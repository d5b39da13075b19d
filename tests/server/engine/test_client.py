"""The thread line: admission, order of events, calls into the loop, and what breaks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from server.engine import intake
from server.engine.client import EngineClient, EngineFull
from server.engine.engine import Engine
from server.engine.messages import (
    BoundaryReached,
    Branch,
    Event,
    Failed,
    Finished,
    Place,
    Sampling,
    Submit,
    TokenSampled,
)
from server.engine.stream import EventStream
from tests.doubles import CountingModel, SilentWatcher

PATIENCE_S = 5


class GatedModel(CountingModel):
    """A forward waits until the test opens the gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def forward(self, tokens, lengths, state, *, every=False):
        assert self.gate.wait(PATIENCE_S)
        return super().forward(tokens, lengths, state, every=every)


def submit(
    name: str, branches: int = 1, max_tokens: int = 5, prompt: tuple[int, ...] = (3, 4, 5)
) -> Submit:
    greedy = Sampling(temperature=0)
    made = tuple(Branch(greedy, SilentWatcher()) for _ in range(branches))
    return Submit(name, None, (prompt,), made, max_tokens, frozenset())


@asynccontextmanager
async def running(
    model: CountingModel | None = None, *, capacity: int = 8, engine: Engine | None = None
) -> AsyncIterator[EngineClient]:
    engine = engine or Engine(model or CountingModel(), max_slots=4, prefill_chunk=8)
    client = EngineClient(engine, capacity=capacity)
    client.start()
    try:
        yield client
    finally:
        if isinstance(model, GatedModel):
            model.gate.set()
        await client.stop()


async def collect(stream: EventStream) -> list[Event]:
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in stream]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


async def test_the_events_of_a_request_come_in_order() -> None:
    async with running() as client:
        events = await collect(client.submit(submit("a")))
    kinds = [type(event) for event in events]
    assert kinds == [BoundaryReached, *[TokenSampled] * 5, Finished]


async def test_many_requests_at_once_get_their_own_events() -> None:
    async with running(capacity=20) as client:
        streams = {f"r{i}": client.submit(submit(f"r{i}", prompt=(i + 1,))) for i in range(20)}
        for name, stream in streams.items():
            events = await collect(stream)
            assert {event.request for event in events} == {name}
            assert isinstance(events[-1], Finished)


async def test_requests_that_come_together_are_read_in_one_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake, "_NEXT_S", PATIENCE_S)
    monkeypatch.setattr(intake, "_ALL_S", PATIENCE_S)
    engine, fed = Engine(CountingModel(), max_slots=4, prefill_chunk=8), list[tuple[int, int]]()
    async with running(engine=engine) as client:
        with client.held():
            first = client.submit(submit("a"))
            await asyncio.sleep(0.05)  # a step takes much less
            fed.append(engine.fed)
        second = client.submit(submit("b"))
        await asyncio.gather(collect(first), collect(second))
    assert fed == [(0, 0)]


async def test_a_request_over_the_capacity_is_refused() -> None:
    model = GatedModel()
    async with running(model, capacity=3) as client:
        client.submit(submit("a", branches=2))
        with pytest.raises(EngineFull):
            client.submit(submit("b", branches=2))
        client.submit(submit("c"))
        with pytest.raises(EngineFull):
            client.submit(submit("d"))


async def test_a_refused_request_leaves_nothing_behind() -> None:
    model = GatedModel()
    async with running(model, capacity=1) as client:
        stream = client.submit(submit("a"))
        with pytest.raises(EngineFull):
            client.submit(submit("b", prompt=(50,)))
        assert client.in_flight == 1
        model.gate.set()
        await collect(stream)
        assert client.in_flight == 0
        events = await collect(client.submit(submit("b")))
        assert next(e for e in events if isinstance(e, BoundaryReached)).snapshot.tokens == 3


@pytest.mark.parametrize("branches", [1, 3])
async def test_nothing_is_in_flight_after_the_last_answer(branches: int) -> None:
    async with running() as client:
        stream = client.submit(submit("a", branches))
        assert client.in_flight == branches
        await collect(stream)
        assert client.in_flight == 0


async def test_a_cancelled_request_ends_in_finished_and_frees_its_place() -> None:
    async with running(capacity=2) as client:
        stream = client.submit(submit("a", branches=2, max_tokens=10**6))
        stream.cancel()
        events = await collect(stream)
        ends = [e for e in events if isinstance(e, Finished)]
        assert sorted((e.branch, e.reason) for e in ends) == [(0, "cancelled"), (1, "cancelled")]
        assert client.in_flight == 0


async def test_cancelling_one_request_leaves_the_others_alone() -> None:
    async with running() as client:
        one = client.submit(submit("a", max_tokens=10**6))
        other = client.submit(submit("b", max_tokens=50))
        one.cancel()
        await collect(one)
        end = (await collect(other))[-1]
        assert isinstance(end, Finished)
        assert end.reason == "length"


async def test_cancelling_what_has_ended_does_nothing() -> None:
    async with running() as client:
        stream = client.submit(submit("a"))
        await collect(stream)
        stream.cancel()
        assert isinstance((await collect(client.submit(submit("b"))))[-1], Finished)


async def test_the_loop_is_called_at_most_once_per_step(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, calls, model = asyncio.get_running_loop(), [], GatedModel()
    original = loop.call_soon_threadsafe

    def counting(callback, *args, **kwargs):
        if threading.current_thread().name == "engine":
            calls.append(callback)
        return original(callback, *args, **kwargs)

    async with running(model) as client:
        monkeypatch.setattr(loop, "call_soon_threadsafe", counting)
        streams = [client.submit(submit(f"r{i}", branches=2, max_tokens=20)) for i in range(2)]
        model.gate.set()
        for stream in streams:
            await collect(stream)
        assert calls
        assert len(calls) <= len(model.steps) + 1
        monkeypatch.undo()


async def test_an_idle_engine_does_not_call_the_loop_or_the_model() -> None:
    model = CountingModel()
    async with running(model) as client:
        await collect(client.submit(submit("a")))
        steps = len(model.steps)
        await asyncio.sleep(0.05)
        assert len(model.steps) == steps
        assert client.alive


async def test_stop_fails_what_is_in_flight() -> None:
    async with running() as client:
        streams = [client.submit(submit(f"r{i}", max_tokens=10**7)) for i in range(6)]
        await until(lambda: client.in_flight == 6)
        await client.stop()
        for stream in streams:
            assert isinstance((await collect(stream))[-1], Failed)
        assert client.in_flight == 0
        assert not client.alive


async def test_stop_may_be_called_twice_and_before_start() -> None:
    client = EngineClient(Engine(CountingModel(), max_slots=1, prefill_chunk=8), capacity=1)
    await client.stop()
    async with running() as started:
        await started.stop()
        await started.stop()


async def test_a_request_after_the_stop_is_refused_or_fails() -> None:
    async with running() as client:
        await client.stop()
        try:
            stream = client.submit(submit("late"))
        except EngineFull:
            return
        assert isinstance((await collect(stream))[-1], Failed)


async def test_a_request_that_races_the_stop_is_answered() -> None:
    async with running() as client:
        stopping = asyncio.create_task(client.stop())
        await asyncio.sleep(0)
        try:
            stream = client.submit(submit("late"))
        except EngineFull:
            return
        finally:
            await stopping
        assert isinstance((await collect(stream))[-1], Finished | Failed)


async def test_a_step_that_breaks_the_model_fails_its_request_and_no_later_one() -> None:
    async with running(CountingModel(fail_on=50)) as client:
        events = await collect(client.submit(submit("bad", prompt=(50,))))
        assert [type(e) for e in events] == [Failed]
        assert client.in_flight == 0
        assert isinstance((await collect(client.submit(submit("good"))))[-1], Finished)


class FragileEngine(Engine):
    """Its own step, submit or cancel raises as often as it is told."""

    def __init__(self) -> None:
        super().__init__(CountingModel(), max_slots=4, prefill_chunk=8)
        self.broken_steps = 0

    def step(self) -> list[Event]:
        if self.broken_steps:
            self.broken_steps -= 1
            raise RuntimeError("step broke")
        return super().step()


async def test_an_engine_whose_step_raises_recovers() -> None:
    engine = FragileEngine()
    async with running(engine=engine) as client:
        engine.broken_steps = 1
        streams = [client.submit(submit(f"r{i}", max_tokens=10**6)) for i in range(2)]
        ends = []
        for stream in streams:
            stream.cancel()
            ends.append((await collect(stream))[-1])
        assert any(isinstance(end, Failed) for end in ends)
        assert client.in_flight == 0
        assert isinstance((await collect(client.submit(submit("later"))))[-1], Finished)
        assert engine.occupied == 0


async def test_a_request_that_waited_while_a_step_broke_leaves_no_trace() -> None:
    """Its stream fails with the others, so the engine must not compute it afterwards."""
    engine = FragileEngine()
    ready, go = threading.Event(), threading.Event()
    original = engine.step

    def step() -> list[Event]:
        ready.set()
        assert go.wait(PATIENCE_S)
        return original()

    engine.step = step  # type: ignore[method-assign]
    engine.broken_steps = 1
    async with running(engine=engine) as client:
        first = client.submit(submit("first"))
        await asyncio.to_thread(ready.wait)
        second = client.submit(submit("second", max_tokens=10**6))
        go.set()
        assert isinstance((await collect(first))[-1], Failed)
        async with asyncio.timeout(PATIENCE_S):
            async for event in second:
                if isinstance(event, TokenSampled):  # it was not failed, so it runs: fine too
                    second.cancel()
        assert client.in_flight == 0
        await until(lambda: engine.idle)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(logit_bias=((2**70, 1.0),)),
        Sampling(logit_bias=((10**6, 1.0),)),
        None,
    ],
    ids=["id over 64 bits", "id over the vocabulary", "no sampling"],
)
async def test_a_request_that_cannot_be_set_up_fails_alone(sampling: Sampling) -> None:
    async with running() as client:
        bad = Submit("bad", None, ((1,),), (Branch(sampling, SilentWatcher()),), 5, frozenset())
        assert isinstance((await collect(client.submit(bad)))[-1], Failed)
        assert isinstance((await collect(client.submit(submit("good"))))[-1], Finished)
        assert client.in_flight == 0


async def test_a_watcher_that_breaks_on_cancel_fails_its_request_alone() -> None:
    class Broken(SilentWatcher):
        def close(self) -> str:
            raise RuntimeError("close broke")

    async with running() as client:
        branch = Branch(Sampling(temperature=0), Broken())
        bad = client.submit(Submit("bad", None, ((1,),), (branch,), 10**6, frozenset()))
        async with asyncio.timeout(PATIENCE_S):
            await anext(aiter(bad))
            bad.cancel()
        assert isinstance((await collect(bad))[-1], Failed)
        assert isinstance((await collect(client.submit(submit("good"))))[-1], Finished)


async def test_the_background_takes_no_room_of_those_who_wait() -> None:
    model = GatedModel()
    async with running(model, capacity=2) as client:
        for number in range(2):
            client.submit(replace(submit(f"b{number}"), place=Place("a", 1)))
        with pytest.raises(EngineFull):
            client.submit(replace(submit("b2"), place=Place("a", 9)))
        assert (client.room(), client.room(1)) == (2, 0)
        client.submit(submit("urgent", branches=2))
        assert client.in_flight == 4
        model.gate.set()
        await until(lambda: client.in_flight == 0)
        assert (client.room(), client.room(1)) == (2, 2)


async def test_a_meter_is_told_of_every_token_of_a_caller() -> None:
    spent: dict[str, int] = {}

    class Counting:
        def spent(self, caller: str, tokens: int) -> None:
            spent[caller] = spent.get(caller, 0) + tokens

    engine = Engine(CountingModel(), max_slots=4, prefill_chunk=8)
    client = EngineClient(engine, capacity=8, meter=Counting())
    client.start()
    (end,) = [
        event
        for event in await collect(client.submit(replace(submit("a"), place=Place("ann"))))
        if isinstance(event, Finished)
    ]
    # Of a follow-up the whole prompt counts, and the token that stops it.
    again = replace(submit("b", branches=2), start=end.snapshot, place=Place("bob"))
    await collect(client.submit(replace(again, stop_ids=frozenset(range(97)))))
    await collect(client.submit(submit("nobody's")))
    await client.stop()
    assert spent == {"ann": 3 + 5, "bob": 8 + 3 + 2}


async def test_what_a_hearer_raises_comes_out_of_the_stream_and_of_no_other() -> None:
    heard: list[TokenSampled] = []

    def hear(events: Sequence[TokenSampled]) -> None:
        heard.extend(events)
        if len(heard) >= 2:
            raise ValueError("heard enough")

    async with running() as client:
        breaking, other = client.submit(submit("a")), client.submit(submit("b"))
        breaking.hear(hear)
        with pytest.raises(ValueError, match="heard enough"):
            await collect(breaking)
        told = len(heard)
        assert isinstance((await collect(other))[-1], Finished)
    assert len(heard) == told
