"""Is an answer right? Pure functions over text.

An answer counts when it holds the wanted value whole and no other value of the dialogue; calls
and JSON answers are compared as data, results of word games and counting letter by letter.
"""

import json
import re
from dataclasses import dataclass

from models.gosling.dialogues import Dialogue
from models.gosling.render import segments

FENCE = "```"
TURN = "\n\nUser:"
EXACT = frozenset({"words", "counting"})
LIMITS = ("bigger RWKV checkpoint", "small demo model", "no tool for that")


@dataclass(frozen=True, slots=True)
class Check:
    """One answer to be given: what precedes it as segments, and what makes it right."""

    kind: str
    prompt: tuple[str, ...]
    answer: str
    essential: str
    others: tuple[str, ...]


def checks(d: Dialogue) -> list[Check]:
    """The checked answers of a dialogue, each behind its true history."""
    return [
        Check(
            kind, prompt(d, at), d.messages[at].content, essential,
            tuple(v for v in d.values if v not in d.messages[at].content),
        )
        for at, essential, kind in zip(d.checks, d.answers, d.kinds, strict=True)
    ]  # fmt: skip


def prompt(d: Dialogue, at: int) -> tuple[str, ...]:
    """The segments up to and with the header of the assistant message at index `at`."""
    upto = Dialogue(d.messages[: at + 1], d.ability, thinking=d.thinking, forced=d.forced)
    return tuple(segment.text for segment in segments(upto)[:-1])


def cleaned(text: str) -> str:
    """The answer alone: without the thought's end, the next turn and space around it."""
    return text.split(TURN, maxsplit=1)[0].strip().removeprefix(">\n").strip()


def correct(check: Check, text: str) -> bool:
    text = cleaned(text)
    if text == check.answer:
        return True
    if check.kind == "beyond":
        return declines(text)
    if check.essential.startswith(("{", "[")):
        return same_json(check.essential, text)
    if check.kind in EXACT or FENCE in text:
        return False
    return holds(text, check.essential) and not any(holds(text, v) for v in check.others)


def declines(text: str) -> bool:
    """The answer says its limits and calls nothing."""
    return FENCE not in text and any(limit in text for limit in LIMITS)


def same_json(wanted: str, text: str) -> bool:
    try:
        return bool(json.loads(unfenced(text)) == json.loads(wanted))
    except ValueError:
        return False


def unfenced(text: str) -> str:
    return text.removeprefix("```json").removesuffix(FENCE).strip()


def holds(text: str, value: str) -> bool:
    """The value stands in the text as a whole, not as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) is not None
