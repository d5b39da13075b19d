"""When answers were asked for, written and ended, and the speeds that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """One answer of one of several askers. Moments in seconds of the same clock.

    first, last: when its first and last text came.
    """

    asker: int
    asked: float
    first: float
    last: float
    ended: float
    tokens: int


def whole(spans: Sequence[Span]) -> float:
    """Tokens a second from the first question to the last end."""
    seconds = max(it.ended for it in spans) - min(it.asked for it in spans)
    return sum(it.tokens for it in spans) / seconds


def writing(spans: Sequence[Span]) -> float:
    """Of answers that are written at once: of all, from the first text of each to its last."""
    seconds = sum(it.last - it.first for it in spans) / len(spans)
    return sum(it.tokens - 1 for it in spans) / seconds


def steady(spans: Sequence[Span]) -> float:
    """Tokens a second while every asker has asked more than once and none has all its answers.

    An answer's tokens are spread evenly over the time from its question to its end.
    """
    by_asker: dict[int, list[float]] = {}
    for it in spans:
        by_asker.setdefault(it.asker, []).append(it.ended)
    begin, end = max(map(min, by_asker.values())), min(map(max, by_asker.values()))
    if begin >= end:
        raise ValueError("one asker had all its answers before another had its first")
    tokens = sum(it.tokens * _share(it, begin, end) for it in spans)
    return tokens / (end - begin)


def _share(it: Span, begin: float, end: float) -> float:
    """How much of its time lies between the two."""
    return max(0.0, min(it.ended, end) - max(it.asked, begin)) / (it.ended - it.asked)
