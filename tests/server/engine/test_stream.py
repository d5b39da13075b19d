"""Tokens that somebody hears, and the events around them."""

from collections.abc import Sequence

import pytest

from server.engine.messages import Branch, Event, Finished, Sampling, Submit, TokenSampled
from server.engine.observer import Watch
from server.engine.stream import EventStream
from tests.doubles import SilentWatcher

END = Finished("a", 0, "stop", "", 2, None)


def stream(watches: Sequence[Watch] = ()) -> EventStream:
    branch = Branch(Sampling(temperature=0), SilentWatcher())
    submit = Submit("a", None, ((1,),), (branch,), 9, frozenset())
    return EventStream(submit, lambda _: None, watches)


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


async def test_tokens_that_nobody_hears_are_read_in_order_once_they_are_told() -> None:
    events = stream()
    for number in range(2):
        events.put(token(number), 0.0)
    events.put(END, 0.0)
    assert [event async for event in events] == [token(0), token(1), END]


async def test_every_watch_sees_tokens_and_their_moments_before_what_follows_them() -> None:
    seen: list[object] = []

    class Watching:
        def see(self, event: Event, moment: float) -> None:
            seen.append((event, moment))

        def see_tokens(self, tokens: Sequence[tuple[int, float]]) -> None:
            seen.append(list(tokens))

    events = stream([Watching(), Watching()])
    events.put(token(0), 1.0)
    events.put(token(1), 2.0)
    events.put(END, 3.0)
    assert seen == [[(0, 1.0), (0, 2.0)]] * 2 + [(END, 3.0)] * 2


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
