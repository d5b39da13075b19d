"""Who gets a slot: priorities, turns between callers, and slots that are given away."""

import random

import pytest

from server.engine.engine import Engine
from server.engine.line import Line
from server.engine.messages import (
    Branch,
    Event,
    Failed,
    Finished,
    Place,
    Sampling,
    Submit,
    TokenSampled,
)
from server.engine.sampler import Sampler, forbidden_tensor
from server.engine.scheduler import schedule
from server.engine.sequence import Sequence
from tests.doubles import CountingModel, SilentWatcher
from tests.server.engine.test_engine import expected

PROMPT = (3, 4, 5)


def submit(
    name: str,
    caller: str = "",
    priority: int = 0,
    prompt: tuple[int, ...] = PROMPT,
    max_tokens: int = 8,
    branches: int = 1,
) -> Submit:
    made = tuple(Branch(Sampling(temperature=0), SilentWatcher()) for _ in range(branches))
    return Submit(
        name, None, (prompt,), made, max_tokens, frozenset(), place=Place(caller, priority)
    )


def sequence(name: str, caller: str = "", priority: int = 0, **fields) -> Sequence:
    sampler = Sampler(Sampling(), forbidden_tensor([]))
    return Sequence(submit(name, caller, priority, **fields), 0, sampler, 0)


def names(line: Line) -> list[str]:
    found = []
    while line:
        found.append(line.pop().request)
    return found


def engine(slots: int = 1, **options) -> Engine:
    return Engine(CountingModel(), max_slots=slots, prefill_chunk=8, **options)


def steps(engine: Engine, count: int) -> list[Event]:
    return [event for _ in range(count) for event in engine.step()]


def rest(engine: Engine) -> list[Event]:
    events: list[Event] = []
    for _ in range(500):
        events += engine.step()
        if engine.idle:
            return events
    raise AssertionError("the engine does not come to rest")


def tokens(events: list[Event], name: str) -> list[int]:
    return [e.token for e in events if isinstance(e, TokenSampled) and e.request == name]


def test_callers_take_turns() -> None:
    line = Line()
    for name, caller in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b"), ("b2", "b")):
        line.add(sequence(name, caller))
    assert names(line) == ["a1", "b1", "a2", "b2", "a3"]


def test_a_lower_priority_number_comes_first() -> None:
    line = Line()
    for name, priority in (("late", 5), ("first", 0), ("middle", 1)):
        line.add(sequence(name, priority=priority))
    assert names(line) == ["first", "middle", "late"]


def test_what_is_put_first_is_next_and_its_caller_then_last_in_turn() -> None:
    line = Line()
    for name, caller in (("a1", "a"), ("b1", "b"), ("b2", "b")):
        line.add(sequence(name, caller))
    line.put_first(sequence("b0", "b"))
    assert names(line) == ["b0", "a1", "b1", "b2"]


def test_what_is_removed_does_not_come() -> None:
    line = Line()
    gone = sequence("a1", "a")
    line.add(gone)
    line.add(sequence("b1", "b"))
    line.remove(gone)
    assert [s.request for s in line] == ["b1"]
    assert names(line) == ["b1"]
    assert not line


@pytest.mark.parametrize("computed", [1, 2, 5])
def test_a_waiting_request_gets_the_slot_of_the_background_at_once(computed: int) -> None:
    one = engine()
    one.submit(submit("background", priority=1, prompt=tuple(range(12))))
    before = steps(one, computed)
    one.submit(submit("urgent"))
    assert tokens(one.step(), "urgent") == expected([*PROMPT], 1)
    after = rest(one)
    said = tokens([*before, *after], "background")
    assert said == expected(list(range(12)), 8)
    (end,) = (e for e in after if isinstance(e, Finished) and e.request == "background")
    assert end.snapshot is not None
    assert end.snapshot.fed.to_list() == [*range(12), *said]


def test_one_of_the_same_priority_waits_for_its_turn() -> None:
    one = engine()
    one.submit(submit("first"))
    steps(one, 2)
    one.submit(submit("second"))
    assert tokens(one.step(), "second") == []


def test_the_latest_priority_gives_its_slot_away() -> None:
    one = engine(slots=2)
    one.submit(submit("later", priority=7, max_tokens=50))
    one.submit(submit("sooner", priority=1, prompt=(8, 9), max_tokens=50))
    before = steps(one, 2)
    one.submit(submit("urgent"))
    events = one.step()
    assert tokens(events, "sooner")
    assert not tokens(events, "later")
    everything = [*before, *events, *rest(one)]
    assert tokens(everything, "sooner") == expected([8, 9], 50)
    assert tokens(everything, "later") == expected([*PROMPT], 50)


def test_answers_that_change_places_at_random_are_what_they_would_have_been() -> None:
    draw, one = random.Random(3), engine(slots=2)
    prompts = {f"r{n}": tuple(draw.choices(range(97), k=draw.randint(1, 20))) for n in range(12)}
    events = []
    for name, prompt in prompts.items():
        one.submit(submit(name, name[-1], draw.randrange(3), prompt, branches=draw.choice([1, 2])))
        events += steps(one, draw.randrange(4))
    events += rest(one)
    for name, prompt in prompts.items():
        sampled = [e for e in events if isinstance(e, TokenSampled) and e.request == name]
        for branch in {e.branch for e in sampled}:
            said = [e.token for e in sampled if e.branch == branch]
            assert said == expected(list(prompt), 8)


def test_a_cancelled_answer_without_its_slot_still_ends_with_its_state() -> None:
    one = engine()
    one.submit(submit("background", priority=1, max_tokens=50))
    before = steps(one, 4)
    one.submit(submit("urgent", max_tokens=3))
    one.step()
    one.cancel("background")
    (end,) = (e for e in rest(one) if isinstance(e, Finished) and e.request == "background")
    assert end.reason == "cancelled"
    assert end.snapshot is not None
    assert end.snapshot.fed.to_list() == [*PROMPT, *tokens(before, "background")]


def test_prompts_of_the_background_are_fed_with_what_is_left() -> None:
    first, later = sequence("a", prompt=(1,) * 6), sequence("b", priority=1, prompt=(1,) * 9)
    for budget, counts in ((8, {"a": 6, "b": 2}), (6, {"a": 6}), (4, {"a": 4})):
        feeds = schedule([later, first], budget)
        assert {feed.sequence.request: feed.count for feed in feeds} == counts


def test_a_request_without_a_slot_in_time_fails_and_one_with_a_slot_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("server.engine.roster.monotonic", lambda: now)
    one = engine(max_wait_s=5)
    for name, priority in (("first", 0), ("second", 0), ("background", 1)):
        one.submit(submit(name, priority=priority))
        one.step()
    now = 6.0
    events = rest(one)
    (failed,) = (e for e in events if isinstance(e, Failed))
    assert (failed.request, failed.waited) == ("second", True)
    assert {e.request for e in events if isinstance(e, Finished)} == {"first", "background"}
