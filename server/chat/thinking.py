"""Thoughts and answers told apart, in text that arrives in pieces.

A model that thinks writes `<think>…</think>` before its answer. Chat templates begin that for it,
and may leave the last `>` to the model, whose tokens join it with what follows.
"""

from dataclasses import dataclass
from typing import Literal

# What comes next: undecided, the rest of "<think>", a thought, the rest of "</think>", the answer.
Phase = Literal["start", "opened", "thought", "closing", "answer"]

_OPEN = "<think>"
_CLOSE = "</think>"


def phase_of(opening: str) -> Phase:
    """Where an answer begins that continues `opening`."""
    _, mark, rest = opening.rpartition(_OPEN[:-1])
    if not mark:
        return "start"
    if _CLOSE in rest:
        return "answer"
    if rest.endswith(_CLOSE[:-1]):
        return "closing"
    return "thought" if rest else "opened"


@dataclass(frozen=True, slots=True)
class Said:
    """What one piece of text adds to the thought and to the answer."""

    reasoning: str = ""
    content: str = ""


class ThoughtSplitter:
    """Text in, thought and answer out, without the marks and the white space around them.

    thought: there is one. answer_at: how many characters lie before the answer, as far as stop
    strings of the answer are concerned; None until it has begun. trim: white space before the
    first words is none of theirs.
    """

    def __init__(self, phase: Phase, *, trim: bool = True) -> None:
        self._phase = phase
        self._held = ""  # may turn out to be part of a mark, or white space before one
        self._fresh = trim  # nothing of the thought, or of the answer after it, was given out
        self._seen = 0
        self.thought = phase in {"opened", "thought"}
        self.answer_at: int | None = 0 if phase == "answer" else None

    @property
    def undecided(self) -> bool:
        """Whether a thought or an answer begins is not known yet."""
        return self._phase == "start"

    @property
    def flows(self) -> bool:
        """From here on all text belongs to the answer as it is, and push() is not needed."""
        return self._phase == "answer" and not self._fresh and self.answer_at is not None

    @property
    def answering(self) -> bool:
        return self._phase == "answer"

    def push(self, text: str) -> Said:
        self._seen += len(text)
        text, self._held = self._held + text, ""
        if self._phase == "start":
            text = self._begin(text)
        elif self._phase in {"opened", "closing"} and text:
            self._phase = "thought" if self._phase == "opened" else "answer"
            text = text.removeprefix(">")
        reasoning = ""
        if self._phase == "thought":
            reasoning, text = self._think(text)
        return Said(reasoning, self._answer(text) if self.answering else "")

    def close(self) -> Said:
        """What was held back, for a text that ends here."""
        held, self._held = self._held, ""
        if self._phase == "thought":
            return Said(reasoning=self._lead(held).rstrip())
        return Said(content=self._lead(held))

    def _begin(self, text: str) -> str:
        begun = text.lstrip()
        if begun.startswith(_OPEN):
            self._phase, self.thought = "thought", True
            return begun.removeprefix(_OPEN)
        if _OPEN.startswith(begun):
            self._held = begun
            return ""
        self._phase, self.answer_at = "answer", 0
        return text

    def _think(self, text: str) -> tuple[str, str]:
        """What is certainly thought, and what comes after the thought."""
        thought, closed, rest = text.partition(_CLOSE)
        if not closed:
            end = _certain(text)
            self._held = text[end:]
            return self._lead(text[:end]), ""
        thought = self._lead(thought).rstrip()
        self._phase, self._fresh = "answer", True
        return thought, rest

    def _answer(self, text: str) -> str:
        text = self._lead(text)
        if text and self.answer_at is None:
            self.answer_at = self._seen - len(text)
        return text

    def _lead(self, text: str) -> str:
        if self._fresh:
            text = text.lstrip()
            self._fresh = not text
        return text


def _certain(thought: str) -> int:
    """How many characters can neither belong to the closing mark nor be white space before it."""
    lengths = range(len(_CLOSE) - 1, 0, -1)
    partial = next((n for n in lengths if thought.endswith(_CLOSE[:n])), 0)
    return len(thought[: len(thought) - partial].rstrip())
