"""What the engine's thread reports arrives whole, in order, and not oftener than it helps."""

import asyncio
import random
import threading
import time
from time import perf_counter

import pytest

from server.engine import handover
from server.engine.handover import Handover, Report
from server.engine.messages import Event, Failed, TokenSampled

LONG_S = 0.2


class Listener:
    """All that was handed over, each time."""

    def __init__(self) -> None:
        self.times: list[list[Report]] = []

    def __call__(self, reports) -> None:
        self.times.append(list(reports))

    @property
    def reports(self) -> list[Report]:
        return [report for reports in self.times for report in reports]


def tokens(streams: int = 1) -> list[Event]:
    return [TokenSampled(str(i), 0, 5, "x") for i in range(streams)]


def events_of(reports: list[Report]) -> list[Event]:
    return [event for report in reports for event in report.events]


def report(*events: Event) -> Report:
    return Report(perf_counter(), events)


async def turns() -> None:
    """The loop does what was to be done soon."""
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handover, "_PAUSE_S", LONG_S)
    monkeypatch.setattr(handover, "_LONGEST_PAUSE_S", LONG_S)


async def begun(listener: Listener) -> Handover:
    """One that has handed something over a moment ago."""
    hand = Handover(asyncio.get_running_loop(), listener)
    hand.post(report(Failed("first", "")))
    await turns()
    listener.times.clear()
    return hand


async def test_the_first_token_is_handed_over_at_once(slow: None) -> None:
    listener = Listener()
    hand = Handover(asyncio.get_running_loop(), listener)
    hand.post(report(*tokens()))
    await turns()
    assert len(listener.times) == 1


async def test_tokens_of_a_fast_model_are_handed_over_together(slow: None) -> None:
    listener = Listener()
    hand = await begun(listener)
    sent = [report(*tokens(2)) for _ in range(5)]
    for one in sent:
        hand.post(one)
    await turns()
    assert listener.times == []
    await asyncio.sleep(1.5 * LONG_S)
    assert listener.times == [sent]


async def test_tokens_of_a_single_stream_do_not_wait(slow: None) -> None:
    listener = Listener()
    hand = await begun(listener)
    for _ in range(3):
        hand.post(report(*tokens()))
        await turns()
    assert len(listener.times) == 3


async def test_an_end_takes_along_the_tokens_of_its_request_and_no_others(slow: None) -> None:
    listener = Listener()
    hand = await begun(listener)
    (own, other), end = tokens(2), Failed("0", "")
    hand.post(report(own, other))
    hand.post(report(end))
    await turns()
    assert events_of(listener.reports) == [own, end]
    listener.times.clear()
    hand.post(report(*tokens(2)))
    await asyncio.sleep(1.5 * LONG_S)
    assert len(listener.times) == 1
    assert events_of(listener.reports) == [other, *tokens(2)]


async def test_what_is_told_early_takes_no_time_from_what_waits_after_all_else(
    slow: None,
) -> None:
    listener = Listener()
    hand = await begun(listener)
    for _ in range(3):
        hand.post(report(*tokens(2)))
        hand.post(report(Failed("0", "")))
        await turns()
        hand.post(report(Failed("1", "")))
        await turns()
    listener.times.clear()
    hand.post(report(*tokens(2)))
    await asyncio.sleep(1.5 * LONG_S)
    assert events_of(listener.reports) == tokens(2)


async def test_a_step_is_told_of_once_where_its_events_part(slow: None) -> None:
    listener = Listener()
    hand = await begun(listener)
    first, second = tokens(2)
    hand.post(Report(perf_counter(), [first, second], 0.01, 2, 2))
    hand.post(report(Failed("0", "")))
    await asyncio.sleep(1.5 * LONG_S)
    assert events_of(listener.reports) == [first, Failed("0", ""), second]
    assert [it.sequences for it in listener.reports if it.sequences] == [2]


async def test_as_many_steps_go_together_as_fit_into_a_pause(slow: None) -> None:
    listener = Listener()
    hand = await begun(listener)
    begin = hand._last
    for number in range(1, 7):
        hand.post(Report(begin + number * 0.3 * LONG_S, tokens(2), 0.3 * LONG_S, 2, 2))
        await turns()
    assert [len(reports) for reports in listener.times] == [3, 3]


async def test_tokens_do_not_wait_for_a_step_that_is_late() -> None:
    listener = Listener()
    hand = await begun(listener)
    hand.post(Report(perf_counter(), tokens(32), 0.02, 32, 32))
    await turns()
    assert listener.times == []
    await asyncio.sleep(0.25)
    assert events_of(listener.reports) == tokens(32)


async def test_tokens_of_a_slow_model_do_not_wait() -> None:
    listener = Listener()
    hand = await begun(listener)
    for _ in range(3):
        time.sleep(2 * handover._PAUSE_S)
        hand.post(report(*tokens(2)))
        await turns()
    assert len(listener.times) == 3


async def test_tokens_do_not_wait_where_the_next_step_would_end_too_late(slow: None) -> None:
    listener = Listener()
    hand = await begun(listener)
    hand.post(Report(hand._last + 0.6 * LONG_S, tokens(2), 0.6 * LONG_S, 2, 2))
    await turns()
    assert len(listener.times) == 1


async def test_many_streams_wait_longer_than_one_but_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda _, wait, *rest: waits.append(wait))
    for streams in (2, 9, 10_000):
        hand = Handover(loop, Listener())
        hand._last = perf_counter()
        hand.post(Report(hand._last, tokens(streams)))
    assert waits == pytest.approx([0.0025, 0.02, 0.080])


async def test_a_report_without_events_waits_for_the_next() -> None:
    listener = Listener()
    hand = Handover(asyncio.get_running_loop(), listener)
    silent, last = report(), report(Failed("a", ""))
    hand.post(silent)
    await turns()
    assert listener.times == []
    hand.post(last)
    await turns()
    assert listener.times == [[silent, last]]


async def test_nothing_is_lost_or_out_of_order_between_the_threads() -> None:
    listener, chance = Listener(), random.Random(5)
    hand = Handover(asyncio.get_running_loop(), listener)
    sent = []

    def work() -> None:
        for number in range(2000):
            events = chance.choice([tokens(), tokens(3), [], [Failed(str(number), "")]])
            sent.append(Report(perf_counter(), events))
            hand.post(sent[-1])
            if chance.random() < 0.02:
                time.sleep(chance.random() / 200)
        sent.append(report(Failed("last", "")))
        hand.post(sent[-1])

    thread = threading.Thread(target=work)
    thread.start()
    async with asyncio.timeout(20):
        while len(events_of(listener.reports)) != len(events_of(sent)) or thread.is_alive():
            await asyncio.sleep(0.001)
    thread.join()
    for request in {event.request for event in events_of(sent)}:
        told = [
            (it.moment, e) for it in listener.reports for e in it.events if e.request == request
        ]
        assert told == [(it.moment, e) for it in sent for e in it.events if e.request == request]
    assert len(events_of(listener.reports)) == len(events_of(sent))
    assert len(listener.times) < len(sent) / 2
