"""Templates that put a header before every message, and blank lines between them.

Sources: RWKV7-G1x-templates.txt, the model cards of the official checkpoints, and ChatRWKV.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.chat.prompt import Layout, Segment
from server.chat.template.base import plain
from server.chat.thinking import phase_of
from server.chat.types import Message, SamplingOptions, Thinking
from server.session import Key, extend, prompt_key

_GAP = "\n\n"
# The model itself writes the ">": its tokens join that with what comes next.
_THOUGHT = " <think"
_NO_THOUGHT = " <think>\n</think"
_EFFORT: Mapping[Thinking, str] = {
    "low": " (think a bit)",
    "medium": " (think)",
    "high": " (think a lot)",
}


@dataclass(frozen=True, slots=True)
class HeadedTemplate:
    """`system`, `user` and `assistant` stand before the text of their messages.

    What stands before an answer is given to the model; `space` it writes itself. Blank lines
    separate messages, so runs of newlines within system and user text collapse.
    """

    name: str
    stops: tuple[str, ...]
    sampling: SamplingOptions
    system: str = "System: "
    user: str = "User: "
    assistant: str = "Assistant:"
    space: str = " "
    thinks: bool = False

    @property
    def fingerprint(self) -> str:
        return self.name

    @property
    def jinja(self) -> None:
        return None

    @property
    def header(self) -> str:
        """What makes the model answer, without thinking about it."""
        return _GAP + self.assistant

    def lay_out(
        self, root: Key, messages: Sequence[Message], thinking: Thinking | None = None
    ) -> Layout:
        """Boundaries lie after system and assistant messages, and at the end of the prompt.

        A user message is always followed by the header of what answers it. The header of an
        answer in the history is a place to resume from too, in case the client cut or changed
        that answer.
        """
        key = root
        history: list[Segment] = []
        first = True
        for number, message in enumerate(messages):
            *headers, body = self.segments(message, first=first)
            first = first and not (headers or body)
            history += (Segment(h, number, prompt_key(key, h), boundary=False) for h in headers)
            key = extend(key, *self.canonical(message))
            end = key if message.role != "user" else None
            history.append(Segment(body, number, end, boundary=end is not None))
        text = self._opening(messages[-1].role, thinking)
        opening = Segment(text, len(messages) - 1, prompt_key(key, text), boundary=True)
        return Layout(tuple(history), opening, key, phase_of(text) if self.thinks else "answer")

    def told(self, messages: Sequence[Message], layout: Layout) -> tuple[Segment, ...]:
        return layout.history

    def segments(self, message: Message, *, first: bool) -> tuple[str, ...]:
        """The texts of one message of the history; first: nothing stands before it."""
        _, text = self.canonical(message)
        if message.role == "assistant":
            header = self.assistant if first else self.header
            return (header, self.space + text if text else "")
        before = self.system if message.role == "system" else self.user
        body = (before + text).rstrip()
        return (body if first or not body else _GAP + body,)

    def canonical(self, message: Message) -> tuple[str, str]:
        text = plain(message.content)
        if message.role != "assistant":
            text = re.sub(r"\n+", "\n", text)
        return message.role, text

    def _opening(self, last: str, thinking: Thinking | None) -> str:
        """What follows the last message.

        The effort is asked for in the words that end it, if it is the user's; they are not part
        of the message, and so not of its name.
        """
        if thinking is None:
            return self.header
        if thinking == "none":
            return self.header + _NO_THOUGHT
        effort = _EFFORT.get(thinking, "") if last == "user" else ""
        return effort + self.header + _THOUGHT


# "\n\n" alone is no stop: the answers and thoughts of G1 contain it.
G1 = HeadedTemplate(
    name="g1",
    stops=("\n\nUser:", "\nUser:"),
    sampling=SamplingOptions(temperature=1.0, top_p=0.5, top_k=100),
    thinks=True,
)

WORLD = HeadedTemplate(
    name="world",
    stops=("\n\n", "\nUser:"),
    sampling=SamplingOptions(
        temperature=1.0,
        top_p=0.3,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        penalty_decay=0.996,
    ),
)

_RAVEN_SAMPLING = SamplingOptions(
    temperature=1.2, top_p=0.5, presence_penalty=0.4, frequency_penalty=0.4
)

RAVEN = HeadedTemplate(
    name="raven",
    stops=("\n\n", "\nBob:"),
    sampling=_RAVEN_SAMPLING,
    system="",
    user="Bob: ",
    assistant="Alice:",
)

# An answer to an instruction may have paragraphs.
ALPACA = HeadedTemplate(
    name="alpaca",
    stops=("\n\n# Instruction:", "\n# Instruction:"),
    sampling=_RAVEN_SAMPLING,
    system="",
    user="# Instruction:\n",
    assistant="# Response:\n",
    space="",
)
