"""What waits to be written: in order, within a budget, and not one by one."""

import time
from threading import Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.session import outbox as outboxes
from server.session.outbox import Command, Mark, Outbox, Put
from tests.server.session.states import entry, snapshot

ONE = snapshot(1).nbytes


def put(name: str, parent: str | None = None) -> Put:
    return Put(entry(name, parent), snapshot(1))


def names(commands: list[Command]) -> str:
    return "".join(c.entry.key.decode()[0] if isinstance(c, Put) else "|" for c in commands)


def test_what_waits_is_dropped_inner_snapshots_first() -> None:
    outbox = Outbox(3 * ONE)
    for one in (put("x"), put("a"), put("b", "a"), Mark(lambda: None), put("c", "b")):
        outbox.add(one)
    assert outbox.dropped == 1
    outbox.add(put("d", "c"))
    assert names(outbox.take(64, 0)) == "x|cd"
    assert outbox.dropped == 2
    assert outbox.take(64, 0) == []


def test_one_larger_than_the_budget_waits_alone() -> None:
    outbox = Outbox(ONE - 1)
    for name in "ab":
        outbox.add(put(name))
    assert names(outbox.take(64, 0)) == "b"


PUTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.sampled_from("abcdef")))


@given(PUTS, st.integers(1, 4), st.integers(1, 5))
def test_no_history_exceeds_the_budget_or_loses_a_newest_one_for_an_inner(
    history: list[tuple[str, str | None]], room: int, most: int
) -> None:
    outbox, waiting = Outbox(room * ONE), 0
    for name, parent in history:
        outbox.add(put(name, parent))
        waiting = min(room, waiting + 1)
    taken: list[Command] = []
    while batch := outbox.take(most, 0):
        assert len(batch) <= most
        taken += batch
    assert len(taken) == waiting == len(history) - outbox.dropped
    assert (
        not history
        or names(taken)[-1:] == history[-1][0]
        or history[-1][0] in {parent for _, parent in history}
    )


@pytest.mark.parametrize(
    ("budget", "more"),
    [(10**6, [put("b"), Mark(lambda: None)]), (8 * ONE, [put("b"), put("c")])],
    ids=["somebody waits", "much"],
)
def test_what_nobody_waits_for_goes_with_what_somebody_does_or_when_it_is_much(
    monkeypatch: pytest.MonkeyPatch, budget: int, more: list[Command]
) -> None:
    monkeypatch.setattr(outboxes, "_GATHERED_S", 10)
    outbox = Outbox(budget)
    outbox.add(put("a"))
    Timer(0.05, lambda: [outbox.add(one) for one in more]).start()
    start = time.monotonic()
    assert names(outbox.take(64, 1)) == names([put("a"), *more])
    assert time.monotonic() - start < 5


def test_what_nobody_waits_for_goes_alone_in_the_end() -> None:
    outbox = Outbox(10**6)
    outbox.add(put("a"))
    assert names(outbox.take(64, 1)) == "a"
