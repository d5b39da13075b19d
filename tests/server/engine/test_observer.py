"""What an observer is told of an engine's steps and of a model's answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from server.engine.client import EngineClient
from server.engine.engine import Engine
from server.engine.messages import (
    BoundaryReached,
    Branch,
    Event,
    Finished,
    Sampling,
    Submit,
)
from server.engine.observer import AnswerWatch
from tests.doubles import CountingModel, SilentWatcher

PATIENCE_S = 5
CHUNK = 4


@dataclass
class Told:
    """What was told of answers, and of steps as sequences and tokens."""

    prompts: list[tuple[int, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    following: list[float] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def admitted(self, computed: int, cached: int) -> None:
        self.prompts.append((computed, cached))

    def started(self, seconds: float) -> None:
        self.waits.append(seconds)

    def first_token(self, seconds: float) -> None:
        self.first.append(seconds)

    def next_tokens(self, seconds: Sequence[float]) -> None:
        self.following += seconds

    def ended(self, reason: str) -> None:
        self.ends.append(reason)

    def step_taken(self, seconds: float, sequences: int, tokens: int) -> None:
        self.steps.append((sequences, tokens))
        self.seconds.append(seconds)


class Observed:
    """An engine over a model that counts, and what is told of it."""

    def __init__(self, model: CountingModel) -> None:
        self.told = Told()
        self.model = model
        engine = Engine(model, max_slots=4, prefill_chunk=CHUNK)
        self.client = EngineClient(engine, capacity=8, observer=self.told)

    async def answer(
        self, submit: Submit, on: Callable[[Event], None] = lambda event: None
    ) -> list[Event]:
        events = []
        async with asyncio.timeout(PATIENCE_S):
            async for event in self.client.submit(submit, self.told):
                events.append(event)
                on(event)
        return events


@asynccontextmanager
async def observed(model: CountingModel | None = None) -> AsyncIterator[Observed]:
    found = Observed(model or CountingModel())
    found.client.start()
    try:
        yield found
    finally:
        await found.client.stop()


def submit(
    *pieces: tuple[int, ...], branches: int = 1, max_tokens: int = 3, stop: tuple[int, ...] = ()
) -> Submit:
    greedy = Sampling(temperature=0)
    made = tuple(Branch(greedy, SilentWatcher()) for _ in range(branches))
    return Submit("r", None, pieces, made, max_tokens, frozenset(stop))


async def test_a_prompt_is_told_by_what_is_fed_and_what_was_kept() -> None:
    async with observed() as engine:
        events = await engine.answer(submit((1, 2, 3), (4, 5)))
        kept = [event.snapshot for event in events if isinstance(event, BoundaryReached)]
        await engine.answer(replace(submit((6,)), start=kept[-1]))
    assert engine.told.prompts == [(5, 0), (1, 5)]


async def test_every_branch_has_one_first_token_and_the_rest_follow() -> None:
    async with observed() as engine:
        await engine.answer(submit((1, 2), branches=3, max_tokens=4))
    assert len(engine.told.first) == 3
    assert len(engine.told.following) == 9
    assert engine.told.ends == ["length"] * 3
    assert len(engine.told.waits) == 1
    assert engine.told.waits[0] <= min(engine.told.first)
    assert min(engine.told.first + engine.told.following) >= 0


async def test_a_token_that_stops_an_answer_is_one_of_its_tokens() -> None:
    async with observed() as engine:
        # The sum of what was fed comes next: 3, and then 6.
        (*_, end) = await engine.answer(submit((1, 2), stop=(6,)))
    assert isinstance(end, Finished)
    assert (len(engine.told.first), len(engine.told.following)) == (1, 1)
    assert end.sampled == 2
    assert engine.told.ends == ["stop"]


async def test_a_prompt_that_is_only_read_has_no_token() -> None:
    async with observed() as engine:
        await engine.answer(submit((1, 2), max_tokens=0))
    assert engine.told.first == engine.told.following == []
    assert engine.told.ends == ["length"]


async def test_a_request_that_breaks_fails_all_its_answers() -> None:
    async with observed(CountingModel(fail_on=7)) as engine:
        await engine.answer(submit((1, 7), branches=3))
    assert engine.told.ends == ["failed"] * 3


async def test_a_request_that_is_cancelled_ends_so() -> None:
    async with observed() as engine:
        await engine.answer(
            submit((1, 2), max_tokens=10**6), lambda event: engine.client.cancel("r")
        )
    assert engine.told.ends == ["cancelled"]


async def test_steps_are_told_as_the_model_took_them() -> None:
    async with observed() as engine:
        await engine.answer(submit(tuple(range(1, 11)), branches=2))
    taken = [(len(lengths), sum(lengths)) for lengths in engine.model.steps]
    assert taken[:3] == [(1, CHUNK), (1, CHUNK), (1, 2)]
    assert engine.told.steps == taken
    assert min(engine.told.seconds) > 0


async def test_whoever_is_not_observed_is_not_told_of() -> None:
    async with observed() as engine, asyncio.timeout(PATIENCE_S):
        async for _ in engine.client.submit(submit((1, 2))):
            pass
    assert engine.told.prompts == engine.told.ends == engine.told.first == []


def test_tokens_that_are_handed_over_together_keep_their_own_times() -> None:
    told = Told()
    watch = AnswerWatch(told, Submit("a", None, ((1,),), (), 2, frozenset()))
    watch.see_tokens([(0, 10.0), (1, 10.125), (0, 10.25), (0, 11.0)])
    assert told.following == [0.25, 0.75]
    assert len(told.first) == 2
