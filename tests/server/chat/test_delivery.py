"""Parts of an answer that wait for their reader are read as one, and nothing of them is lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.chat.delivery import Delivery
from server.chat.tokens import TextToken
from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, ToolCallDelta, TurnEvent
from server.errors import AnswerFailed


def never() -> None:
    raise AssertionError("nobody was late")


async def read(*events: TurnEvent) -> list[TurnEvent]:
    delivery: Delivery[TurnEvent] = Delivery(late=never)
    for event in events:
        delivery.put(event)
    delivery.end()
    return [event async for event in delivery.events()]


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        ([TextDelta(0, "a"), TextDelta(0, "b")], TextDelta(0, "ab")),
        ([ReasoningDelta(1, "a"), ReasoningDelta(1, "b")], ReasoningDelta(1, "ab")),
        ([ToolCallDelta(0, 2, "{"), ToolCallDelta(0, 2, "}")], ToolCallDelta(0, 2, "{}")),
    ],
)
async def test_what_waits_of_one_text_is_read_at_once(
    parts: list[TurnEvent], whole: TurnEvent
) -> None:
    assert await read(*parts) == [whole]


async def test_the_tokens_of_joined_parts_stay_in_order() -> None:
    one, two = TextToken(1, b"a", 0), TextToken(2, b"b", 1)
    assert await read(TextDelta(0, "a", (one,)), TextDelta(0, "b", (two,))) == [
        TextDelta(0, "ab", (one, two))
    ]


@pytest.mark.parametrize(
    "apart",
    [
        [TextDelta(0, "a"), TextDelta(1, "b")],
        [ReasoningDelta(0, "a"), TextDelta(0, "b")],
        [ToolCallDelta(0, 0, "1"), ToolCallDelta(0, 1, "2")],
        [ToolCallDelta(0, 0, "", "call_1", "f"), ToolCallDelta(0, 0, "{")],
        [ToolCallDelta(0, 0, "{}"), ToolCallDelta(0, 1, "", "call_2", "f")],
    ],
)
async def test_what_belongs_to_two_things_is_read_apart(apart: list[TurnEvent]) -> None:
    assert await read(*apart) == apart


async def test_a_reader_who_keeps_up_reads_every_part() -> None:
    delivery: Delivery[TurnEvent] = Delivery(late=never)
    events = delivery.events()
    for text in "abc":
        delivery.put(TextDelta(0, text))
        assert await anext(events) == TextDelta(0, text)


async def test_a_reader_is_late_by_tokens_not_by_parts_and_may_catch_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.chat.delivery.MOST_WAITING", 10)
    late: list[bool] = []
    delivery: Delivery[TurnEvent] = Delivery(late=lambda: late.append(True))
    events = delivery.events()
    for _ in range(3):
        delivery.put(TextDelta(0, "a"), 9)
        assert await anext(events) == TextDelta(0, "a")
    assert not late
    for _ in range(3):
        delivery.put(TextDelta(0, "a"), 6)
    assert late == [True]


async def test_a_failure_is_raised_behind_what_was_put_before() -> None:
    delivery: Delivery[TurnEvent] = Delivery(late=never)
    delivery.put(TextDelta(0, "a"))
    delivery.fail(AnswerFailed("broken"))
    delivery.end()
    events = delivery.events()
    assert await anext(events) == TextDelta(0, "a")
    with pytest.raises(AnswerFailed, match="broken"):
        await anext(events)


choices = st.integers(0, 1)
words = st.text(max_size=3)
kinds = st.one_of(
    st.builds(TextDelta, choices, words),
    st.builds(ReasoningDelta, choices, words),
    st.builds(ToolCallDelta, choices, choices, words),
    st.builds(ToolCallDelta, choices, choices, words, st.just("id"), st.just("f")),
    st.builds(ChoiceEnd, choices, st.just("stop"), st.just(1)),
)


def told(events: Sequence[TurnEvent]) -> list[TurnEvent]:
    """Each character by itself, so that it does not matter how a text is cut."""
    apart: list[TurnEvent] = []
    for event in events:
        match event:
            case TextDelta(text=text) | ReasoningDelta(text=text):
                apart += [replace(event, text=char) for char in text]
            case ToolCallDelta(name=None, arguments=text):
                apart += [replace(event, arguments=char) for char in text]
            case _:
                apart.append(event)
    return apart


@given(st.lists(kinds, max_size=20))
async def test_joining_tells_the_same(events: list[TurnEvent]) -> None:
    assert told(await read(*events)) == told(events)


async def test_a_beginning_is_waited_for_no_longer_than_said() -> None:
    delivery: Delivery[TurnEvent] = Delivery(late=never)
    async with asyncio.timeout(5):
        await delivery.begun(0.01)
    delivery.put(TextDelta(0, "a"))
    await delivery.begun(60)
    delivery.end()
    assert [event async for event in delivery.events()] == [TextDelta(0, "a")]


async def test_a_failure_is_raised_at_the_beginning_only_if_nothing_comes_before_it() -> None:
    failed: Delivery[TurnEvent] = Delivery(late=never)
    failed.fail(AnswerFailed("it broke"))
    with pytest.raises(AnswerFailed):
        await failed.begun(60)
    begun: Delivery[TurnEvent] = Delivery(late=never)
    begun.put(TextDelta(0, "a"))
    begun.fail(AnswerFailed("it broke"))
    await begun.begun(60)
