"""Texts that are no conversation are found by the exact ids they were fed."""

import pytest
import torch

from models.base import State
from server.engine.snapshot import FedIds, Snapshot
from server.session import SessionManager, SnapshotStore, ids

ANN = ("model", "ann")


def snapshot(*fed: int) -> Snapshot:
    tensor = torch.zeros(1, 1, 1)
    return Snapshot(State(tensor, tensor, tensor), torch.zeros(4), FedIds(fed))


@pytest.fixture
def sessions() -> SessionManager:
    return SessionManager(SnapshotStore(10**6))


async def test_the_longest_kept_prefix_is_found(sessions: SessionManager) -> None:
    short, long = snapshot(1, 2), snapshot(1, 2, 3, 4)
    sessions.keep_ids(ANN, short, 0)
    sessions.keep_ids(ANN, long, 2)
    assert await sessions.resume_ids(ANN, (1, 2, 3, 4, 5)) is long
    assert await sessions.resume_ids(ANN, (1, 2, 3, 5)) is short


async def test_a_text_that_is_kept_whole_is_found_whole(sessions: SessionManager) -> None:
    kept = snapshot(1, 2)
    sessions.keep_ids(ANN, kept, 0)
    assert await sessions.resume_ids(ANN, (1, 2)) is kept


@pytest.mark.parametrize("other", [(), (1,), (2, 2), (2, 1), (1, 258)])
async def test_other_ids_find_nothing(sessions: SessionManager, other: tuple[int, ...]) -> None:
    sessions.keep_ids(ANN, snapshot(1, 2), 0)
    assert await sessions.resume_ids(ANN, other) is None


@pytest.mark.parametrize("owner", [("model", "bob"), ("other", "ann"), ("modela", "nn")])
async def test_nothing_crosses_owners(sessions: SessionManager, owner: tuple[str, str]) -> None:
    sessions.keep_ids(ANN, snapshot(1, 2), 0)
    sessions.keep_ids(owner, snapshot(9, 9), 0)
    assert await sessions.resume_ids(owner, (1, 2)) is None


async def test_an_evicted_prefix_is_not_found() -> None:
    first = snapshot(1, 2)
    sessions = SessionManager(SnapshotStore(first.nbytes))
    sessions.keep_ids(ANN, first, 0)
    sessions.keep_ids(ANN, snapshot(3, 4), 0)
    assert await sessions.resume_ids(ANN, (1, 2)) is None


def test_only_the_latest_lengths_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_LENGTHS", 2)
    known = ids.KnownLengths()
    for length in (5, 3, 5, 4):
        known.note(ANN, length)
    assert known.up_to(ANN, 9) == [4, 5]


def test_only_the_latest_owners_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_OWNERS", 1)
    known = ids.KnownLengths()
    known.note(ANN, 5)
    known.note(("model", "bob"), 6)
    assert known.up_to(ANN, 9) == []
