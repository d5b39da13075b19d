"""What is kept within the budget, against a store that keeps everything in one list."""

from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.base import State
from server.engine.snapshot import FedIds, Lines, Snapshot
from server.session import Entry, SnapshotStore


def snapshot(nbytes: int) -> Snapshot:
    nothing = torch.zeros(0, dtype=torch.uint8)
    state = State(nothing, torch.zeros(1, nbytes, dtype=torch.uint8), nothing)
    return Snapshot(state, nothing, FedIds())


def entry(key: bytes, parent: bytes | None = None) -> Entry:
    return Entry(key, parent, "model", "ann", 0)


def filled(budget: int, *entries: tuple[str, int, str | None]) -> SnapshotStore:
    """A store after puts of (key, bytes, parent)."""
    store = SnapshotStore(budget)
    for key, nbytes, parent in entries:
        assert store.put(entry(key.encode(), parent.encode() if parent else None), snapshot(nbytes))
    return store


def kept(store: SnapshotStore, keys: str) -> str:
    """Which of the one-letter keys are there; asking changes the order of use."""
    return "".join(key for key in keys if store.get(key.encode()) is not None)


def test_a_snapshot_is_given_back_as_it_was_put() -> None:
    store, value = SnapshotStore(100), snapshot(10)
    assert store.put(entry(b"a", None), value)
    assert store.get(b"a") is value
    assert store.get(b"b") is None


def test_what_continues_a_snapshot_is_found_however_far_it_does() -> None:
    store = filled(100, ("b", 1, "a"), ("c", 1, "b"), ("d", 1, "c"), ("x", 1, None), ("y", 1, "x"))
    assert sorted(store.beyond([b"a", b"c"])) == [b"b", b"c", b"d"]
    assert store.beyond([b"d", b"unknown"]) == []


def test_lines_that_several_share_count_once_while_one_of_them_is_kept() -> None:
    store, past = SnapshotStore(1000), Lines(b"12345")
    one, other = past.then(b"678"), past.then(b"9")
    for key, told in ((b"a", past), (b"b", one), (b"c", other)):
        store.put(entry(key, None), replace(snapshot(10), told=told))
    assert store.nbytes == 3 * 10 + 5 + 3 + 1
    store.delete([b"a", b"b"])
    assert store.nbytes == 10 + 5 + 1
    store.delete([b"c"])
    assert store.nbytes == 0


def test_the_least_recently_put_goes_first_among_equals() -> None:
    assert kept(filled(30, *((key, 10, None) for key in "abcd")), "abcd") == "bcd"


def test_use_keeps_a_snapshot() -> None:
    store = filled(30, ("a", 10, None), ("b", 10, None), ("c", 10, None))
    store.get(b"a")
    store.put(entry(b"d", None), snapshot(10))
    assert kept(store, "abcd") == "acd"


def test_inner_snapshots_go_before_the_newest_of_older_conversations() -> None:
    store = filled(40, ("o", 10, None), ("a", 10, None), ("b", 10, "a"), ("c", 10, "b"))
    store.put(entry(b"d", None), snapshot(10))
    assert kept(store, "oabcd") == "obcd"
    store.put(entry(b"e", None), snapshot(10))
    assert kept(store, "oabcde") == "ocde"


def test_the_least_recently_used_inner_snapshot_goes_first() -> None:
    store = filled(40, ("a", 10, None), ("b", 10, "a"), ("c", 10, "b"), ("d", 10, None))
    store.get(b"a")
    store.put(entry(b"e", None), snapshot(10))
    assert kept(store, "abcde") == "acde"


def test_an_inner_snapshot_stays_inner_when_it_is_put_again() -> None:
    store = filled(30, ("o", 10, None), ("a", 10, None), ("b", 10, "a"))
    store.put(entry(b"a", None), snapshot(10))
    store.put(entry(b"c", None), snapshot(10))
    assert kept(store, "oabc") == "obc"


def test_a_snapshot_larger_than_the_budget_is_refused_and_evicts_nothing() -> None:
    store = filled(30, ("a", 10, None), ("b", 20, None))
    assert not store.put(entry(b"c", b"a"), snapshot(31))
    assert kept(store, "abc") == "ab"


def test_a_snapshot_as_large_as_the_budget_is_kept_alone() -> None:
    store = filled(30, ("a", 10, None), ("b", 20, None))
    assert store.put(entry(b"c", None), snapshot(30))
    assert kept(store, "abc") == "c"


def test_a_budget_of_nothing_keeps_nothing() -> None:
    store = SnapshotStore(0)
    assert not store.put(entry(b"a", None), snapshot(1))
    assert len(store) == 0


def test_putting_a_key_again_replaces_its_snapshot() -> None:
    store, value = filled(30, ("a", 10, None), ("b", 10, None)), snapshot(20)
    assert store.put(entry(b"a", None), value)
    assert store.get(b"a") is value
    assert (len(store), store.nbytes) == (2, 30)


def test_a_refused_replacement_leaves_the_old_snapshot() -> None:
    store = filled(30, ("a", 10, None))
    store.put(entry(b"a", None), snapshot(31))
    assert kept(store, "a") == "a"


def test_a_parent_that_is_not_there_does_no_harm() -> None:
    store = filled(30, ("a", 10, "x"), ("b", 10, "x"))
    assert (len(store), store.nbytes) == (2, 20)


@dataclass
class Plain:
    key: bytes
    nbytes: int
    used: int
    inner: bool = False


class PlainStore:
    """The same rules over a list, sorted anew for every eviction."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.entries: list[Plain] = []
        self.clock = 0

    def find(self, key: bytes | None) -> Plain | None:
        return next((entry for entry in self.entries if entry.key == key), None)

    def use(self, key: bytes) -> bool:
        self.clock += 1
        entry = self.find(key)
        if entry:
            entry.used = self.clock
        return entry is not None

    def put(self, key: bytes, nbytes: int, parent: bytes | None) -> bool:
        self.clock += 1
        if nbytes > self.budget:
            return False
        old = self.find(key)
        if old:
            self.entries.remove(old)
        self.entries.append(Plain(key, nbytes, self.clock, bool(old and old.inner)))
        above = self.find(parent)
        if above and not above.inner:
            self.clock += 1
            above.inner, above.used = True, self.clock
        while sum(entry.nbytes for entry in self.entries) > self.budget:
            self.entries.remove(min(self.entries, key=lambda e: (not e.inner, e.used)))
        return self.find(key) is not None


KEY = st.sampled_from([b"a", b"b", b"c", b"d", b"e", b"f"])
PUT = st.tuples(st.just("put"), KEY, st.integers(1, 60), st.none() | KEY)
GET = st.tuples(st.just("get"), KEY)


@settings(max_examples=100, deadline=None)
@given(st.lists(PUT | GET, max_size=40), st.integers(0, 120))
def test_any_history_of_use_leaves_what_the_rules_say(actions: list, budget: int) -> None:
    store, plain = SnapshotStore(budget), PlainStore(budget)
    for action, key, *rest in actions:
        if action == "get":
            assert (store.get(key) is not None) == plain.use(key)
        elif rest[1] != key:
            assert store.put(entry(key, rest[1]), snapshot(rest[0])) == plain.put(key, *rest)
        assert store.nbytes == sum(entry.nbytes for entry in plain.entries) <= budget
        assert len(store) == len(plain.entries)
    for key in (b"a", b"b", b"c", b"d", b"e", b"f"):
        assert (store.get(key) is not None) == (plain.find(key) is not None)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_a_long_conversation_keeps_its_newest_snapshot(count: int) -> None:
    store = filled(10 * count, *((chr(97 + i), 10, chr(96 + i)) for i in range(20)))
    assert kept(store, "abcdefghijklmnopqrst")[-1] == "t"
    assert len(store) == count
