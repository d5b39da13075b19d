"""The longest known prefix of a conversation."""

import torch

from models.base import State
from server.engine.snapshot import FedIds, Snapshot
from server.session import Resumption, SessionManager, SnapshotStore

OWNER = ("model", "ann")
KEYS = [b"system", b"header", b"answer", None, b"prompt"]


def snapshot(tokens: int) -> Snapshot:
    one = torch.zeros(1, 1)
    return Snapshot(State(one, one, one), one, FedIds(range(tokens)))


def resumed(*kept: bytes) -> Resumption:
    """What KEYS resumes from when `kept` are known."""
    sessions = SessionManager(SnapshotStore(10**6))
    for count, key in enumerate(kept, start=1):
        sessions.keep(OWNER, key, snapshot(10 * count), None)
    return sessions.recall(KEYS)


def test_an_unknown_conversation_starts_from_nothing() -> None:
    assert (resumed().snapshot, resumed().segments, resumed().tokens) == (None, 0, 0)


def test_the_longest_kept_prefix_is_found() -> None:
    found = resumed(b"system", b"answer", b"header")
    assert (found.segments, found.tokens) == (3, 20)


def test_a_wholly_known_prompt_leaves_nothing_to_feed() -> None:
    assert resumed(b"answer", b"prompt").segments == len(KEYS)


def test_other_conversations_are_not_found() -> None:
    assert resumed(b"another").snapshot is None
