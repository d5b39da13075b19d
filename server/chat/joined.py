"""Parts of an answer that wait one behind the other, told as one."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, TypeVar

from server.chat.types import ReasoningDelta, TextDelta, ToolCallDelta

E = TypeVar("E")


def goes_on(before: object, after: object) -> bool:
    """Whether both are parts of the same text; the name of a call is told apart from the rest."""
    match before, after:
        case TextDelta(choice), TextDelta(other):
            return choice == other
        case ReasoningDelta(choice), ReasoningDelta(other):
            return choice == other
        case ToolCallDelta(name=None), ToolCallDelta(name=None):
            return (before.choice, before.index) == (after.choice, after.index)
    return False


def joined(parts: Sequence[E]) -> E:
    """One of several, each of which goes on from the one before."""
    first: Any = parts[0]
    whole: E = first if len(parts) == 1 else replace(first, **_rest(first, parts))
    return whole


def _rest(first: object, parts: Sequence[Any]) -> dict[str, Any]:
    match first:
        case TextDelta():
            tokens = tuple(chain.from_iterable(part.tokens for part in parts))
            return {"text": "".join(part.text for part in parts), "tokens": tokens}
        case ReasoningDelta():
            return {"text": "".join(part.text for part in parts)}
    return {"arguments": "".join(part.arguments for part in parts)}
