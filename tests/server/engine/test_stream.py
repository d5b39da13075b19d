"""Tokens that somebody hears, and the events around them."""

from collections.abc import Sequence

import pytest

from server.engine.messages import Branch, Finished, Sampling, Submit, TokenSampled
from server.engine.stream import EventStream
from tests.doubles import SilentWatcher

END = Finished("a", 0, "stop", "", 2, None)


def stream() -> EventStream:
    branch = Branch(Sampling(temperature=0), SilentWatcher())
    return EventStream(Submit("a", None, ((1,),), (branch,), 9, frozenset()), lambda _: None)


def token(number: int) -> TokenSampled:
    return TokenSampled("a", 0, number, "x")


async def test_tokens_that_came_together_are_heard_at_once() -> None:
    heard: list[Sequence[TokenSampled]] = []
    events = stream()
    events.hear(heard.append)
    for number in range(3):
        events.put(token(number), 0.0)
    assert heard == []
    events.tell()
    events.tell()
    assert heard == [[token(0), token(1), token(2)]]


async def test_tokens_are_heard_before_an_end_behind_them_can_be_read() -> None:
    heard: list[TokenSampled] = []
    events = stream()
    events.hear(heard.extend)
    events.put(token(0), 0.0)
    events.put(END, 0.0)
    assert heard == [token(0)]
    assert [event async for event in events] == [END]


async def test_what_a_hearer_raises_is_read_before_the_end() -> None:
    def hear(_: Sequence[TokenSampled]) -> None:
        raise ValueError("no more")

    events = stream()
    events.hear(hear)
    events.put(token(0), 0.0)
    events.put(END, 0.0)
    with pytest.raises(ValueError, match="no more"):
        _ = [event async for event in events]
