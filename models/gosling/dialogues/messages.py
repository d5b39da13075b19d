"""What the grammar produces: messages, exchanges and whole dialogues. Plain frozen values."""

import enum
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


class Split(enum.Enum):
    """Which values and phrasings a dialogue may use."""

    TRAIN = "train"
    HELD_VALUES = "held values"
    HELD_PHRASES = "held phrasings"
    REAL_NAMES = "real names"


@dataclass(frozen=True, slots=True)
class Message:
    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """Messages that stay together; a check is (index of an assistant message, essential answer).

    `values` are what the user told in it: an answer must not contain the wrong one of them.
    """

    ability: str
    messages: tuple[Message, ...]
    checks: tuple[tuple[int, str], ...] = ()
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`answers[i]` is the essential value of the assistant message at index `checks[i]`.

    `thinking` renders every answer behind an empty thought, `forced` renders a tool call behind
    a header that already opens its JSON block. `kinds[i]` is the ability a check belongs to.
    """

    messages: tuple[Message, ...]
    ability: str
    checks: tuple[int, ...] = ()
    thinking: bool = False
    forced: bool = False
    answers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    values: tuple[str, ...] = ()


def turn(ability: str, user: str, answer: str, essential: str | None = None) -> Exchange:
    """One question and one answer; without an essential value the answer is not checked."""
    checks = () if essential is None else ((1, essential),)
    return Exchange(ability, (Message("user", user), Message("assistant", answer)), checks)
