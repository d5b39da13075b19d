"""The engine's step() over a model whose logits show what it was fed."""

import pytest

from server.engine.engine import Engine
from server.engine.messages import (
    Admitted,
    BoundaryReached,
    Branch,
    Event,
    Failed,
    Finished,
    Sampling,
    Submit,
    TokenSampled,
    Watched,
)
from server.engine.snapshot import Snapshot
from tests.doubles import CountingModel, SilentWatcher

GREEDY = Sampling(temperature=0)


def submit(
    name: str,
    *pieces: tuple[int, ...],
    start: Snapshot | None = None,
    max_tokens: int = 5,
    stop_ids: tuple[int, ...] = (),
    watchers: tuple = (),
) -> Submit:
    branches = tuple(Branch(GREEDY, w) for w in watchers or (SilentWatcher(),))
    return Submit(name, start, pieces, branches, max_tokens, frozenset(stop_ids))


def engine(model: CountingModel | None = None, slots: int = 4, chunk: int = 8) -> Engine:
    return Engine(model or CountingModel(), max_slots=slots, prefill_chunk=chunk)


def run(engine: Engine, limit: int = 500) -> list[Event]:
    events = []
    for _ in range(limit):
        events += [e for e in engine.step() if not isinstance(e, Admitted)]
        if engine.idle:
            return events
    raise AssertionError("the engine does not come to rest")


def tokens(events: list[Event], name: str, branch: int = 0) -> list[int]:
    sampled = (e for e in events if isinstance(e, TokenSampled))
    return [e.token for e in sampled if (e.request, e.branch) == (name, branch)]


def finished(events: list[Event], name: str, branch: int = 0) -> Finished:
    ends = [e for e in events if isinstance(e, Finished)]
    (end,) = [e for e in ends if (e.request, e.branch) == (name, branch)]
    return end


def expected(fed: list[int], count: int, vocab: int = 97) -> list[int]:
    """What CountingModel answers after `fed`."""
    total, answer = sum(fed), []
    for _ in range(count):
        answer.append(total % vocab)
        total += answer[-1]
    return answer


def ask(engine: Engine, *args, **kwargs) -> list[Event]:
    engine.submit(submit("a", *args, **kwargs))
    return run(engine)


def test_an_answer_continues_its_prompt() -> None:
    assert tokens(ask(engine(), (3, 4, 5)), "a") == expected([3, 4, 5], 5)


def test_a_snapshot_at_the_end_was_fed_the_whole_answer() -> None:
    events = ask(engine(), (3, 4, 5))
    snapshot = finished(events, "a").snapshot
    assert snapshot.fed.to_list() == [3, 4, 5, *expected([3, 4, 5], 5)]
    assert int(snapshot.state.wkv[0, 0, 0, 0, 0]) == sum(snapshot.fed.to_list())


def test_a_resumed_answer_is_the_uninterrupted_one() -> None:
    end = finished(ask(engine(), (3, 4, 5)), "a")
    events = ask(engine(), (6,), start=end.snapshot)
    assert tokens(events, "a") == expected([*end.snapshot.fed.to_list(), 6], 5)


def test_every_piece_ends_in_a_boundary_with_exactly_its_ids() -> None:
    events = ask(engine(), tuple(range(20)), (1, 2), (3,))
    reached = [e for e in events if isinstance(e, BoundaryReached)]
    assert [(e.piece, e.snapshot.tokens) for e in reached] == [(0, 20), (1, 22), (2, 23)]
    assert all(
        int(e.snapshot.state.wkv[0, 0, 0, 0, 0]) == sum(e.snapshot.fed.to_list()) for e in reached
    )


def test_a_prompt_that_is_wholly_known_is_sampled_without_a_forward() -> None:
    prompt = ask(engine(), (3, 4, 5))[0]
    assert isinstance(prompt, BoundaryReached)
    model = CountingModel()
    other = engine(model)
    other.submit(submit("b", start=prompt.snapshot, max_tokens=1))
    other.step()
    assert model.steps == []


def test_a_stop_token_is_neither_published_nor_fed() -> None:
    second = expected([3, 4, 5], 2)[1]
    events = ask(engine(), (3, 4, 5), stop_ids=(second,))
    end = finished(events, "a")
    assert tokens(events, "a") == expected([3, 4, 5], 1)
    assert (end.reason, end.sampled) == ("stop", 2)
    assert end.snapshot.fed.to_list() == [3, 4, 5, *expected([3, 4, 5], 1)]


@pytest.mark.parametrize("chunk", [1, 3, 8, 64])
def test_prompts_are_fed_in_steps_of_at_most_the_budget(chunk: int) -> None:
    model = CountingModel()
    running = engine(model, chunk=chunk)
    running.submit(submit("a", tuple(range(30)), max_tokens=1))
    running.submit(submit("b", tuple(range(30)), max_tokens=1))
    run(running)
    assert max(sum(lengths) for lengths in model.steps[:-1]) <= chunk + 1


def test_decoding_sequences_advance_while_a_long_prompt_is_fed() -> None:
    running = engine(chunk=4)
    running.submit(submit("quick", (1,), max_tokens=20))
    running.step()
    running.submit(submit("long", tuple(range(60)), max_tokens=1))
    events = [e for _ in range(10) for e in running.step()]
    assert len(tokens(events, "quick")) == 10


def test_a_short_prompt_overtakes_a_long_one() -> None:
    running = engine(chunk=8)
    running.submit(submit("long", tuple(range(90))))
    running.submit(submit("short", (1, 2)))
    assert tokens(running.step() + running.step(), "short")


def test_many_sequences_never_mix() -> None:
    running = engine(slots=3)
    for i in range(20):
        running.submit(submit(f"r{i}", tuple(range(i, 2 * i + 1)), max_tokens=3 + i % 5))
    events = run(running)
    for i in range(20):
        assert tokens(events, f"r{i}") == expected(list(range(i, 2 * i + 1)), 3 + i % 5)


def test_branches_share_the_prompt_and_then_go_apart() -> None:
    model = CountingModel()
    running = engine(model)
    running.submit(submit("a", tuple(range(10)), watchers=(SilentWatcher(), SilentWatcher())))
    events = run(running)
    assert tokens(events, "a", 0) == tokens(events, "a", 1) == expected(list(range(10)), 5)
    assert sum(map(sum, model.steps)) == 10 + 2 * 5


def test_branches_of_a_known_prompt_all_answer() -> None:
    prompt = ask(engine(), (3, 4, 5))[0]
    watchers = (SilentWatcher(), SilentWatcher(), SilentWatcher())
    events = ask(engine(slots=2), start=prompt.snapshot, watchers=watchers)
    assert [tokens(events, "a", i) for i in range(3)] == [expected([3, 4, 5], 5)] * 3


def test_a_cancelled_answer_keeps_what_was_published() -> None:
    running = engine()
    running.submit(submit("a", (3, 4, 5), max_tokens=100))
    published = tokens(running.step() + running.step() + running.step(), "a")
    running.cancel("a")
    end = finished(running.step(), "a")
    assert end.reason == "cancelled"
    assert end.snapshot.fed.to_list() == [3, 4, 5, *published]
    assert running.idle


@pytest.mark.parametrize("steps", [0, 1])
def test_cancelling_a_prompt_ends_every_branch_at_once(steps: int) -> None:
    running = engine(chunk=2)
    running.submit(submit("a", tuple(range(9)), watchers=(SilentWatcher(), SilentWatcher())))
    for _ in range(steps):
        running.step()
    running.cancel("a")
    ends = [(e.branch, e.reason) for e in running.step() if isinstance(e, Finished)]
    assert ends == [(0, "cancelled"), (1, "cancelled")]
    assert running.idle


def test_a_failing_step_fails_its_sequences_and_no_others() -> None:
    running = engine(CountingModel(fail_on=50), slots=1)
    running.submit(submit("bad", (50, 1)))
    running.submit(submit("good", (3, 4)))
    events = run(running)
    assert [e.request for e in events if isinstance(e, Failed)] == ["bad"]
    assert tokens(events, "good") == expected([3, 4], 5)


def test_a_failing_watcher_fails_only_its_own_request() -> None:
    class Broken(SilentWatcher):
        def push(self, token: int) -> Watched:
            raise RuntimeError("watcher broke")

    running = engine()
    running.submit(submit("bad", (1,), watchers=(Broken(),)))
    running.submit(submit("good", (3, 4)))
    events = run(running)
    assert [e.request for e in events if isinstance(e, Failed)] == ["bad"]
    assert tokens(events, "good") == expected([3, 4], 5)


class Scripted(SilentWatcher):
    """Holds tokens `held` to `stop` back, then stops with a remainder."""

    def __init__(self, held: int, stop: int, clean: int, remainder: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._script = held, stop, clean, remainder

    def push(self, token: int) -> Watched:
        held, stop, clean, remainder = self._script
        self.count += 1
        if self.count == stop:
            return Watched("", clean, stopped=True, remainder=remainder)
        return Watched("", min(self.count, held))


@pytest.mark.parametrize(
    ("watcher", "kept", "remainder"),
    [
        (Scripted(held=9, stop=3, clean=2), 2, ()),  # the stop is one token
        (Scripted(held=2, stop=5, clean=2), 2, ()),  # it began with the third token
        (Scripted(held=2, stop=5, clean=2, remainder=(7, 8)), 2, (7, 8)),
        (Scripted(held=1, stop=5, clean=3), 3, ()),  # held from the second, began with the fourth
        (Scripted(held=1, stop=5, clean=3, remainder=(9,)), 3, (9,)),
        (Scripted(held=0, stop=2, clean=0), 0, ()),
    ],
)
def test_after_a_stop_string_the_state_has_seen_only_the_text_before_it(
    watcher: Scripted, kept: int, remainder: tuple[int, ...]
) -> None:
    events = ask(engine(), (3, 4, 5), max_tokens=50, watchers=(watcher,))
    end = finished(events, "a")
    assert end.reason == "stop"
    assert end.snapshot.fed.to_list() == [3, 4, 5, *expected([3, 4, 5], kept), *remainder]
    assert int(end.snapshot.state.wkv[0, 0, 0, 0, 0]) == sum(end.snapshot.fed.to_list())
    following = ask(engine(), start=end.snapshot, max_tokens=1)
    assert tokens(following, "a") == expected(end.snapshot.fed.to_list(), 1)


def test_an_idle_engine_holds_no_sequence() -> None:
    running = engine()
    for i in range(6):
        running.submit(submit(f"r{i}", (i, 1)))
    run(running)
    assert running.occupied == 0
