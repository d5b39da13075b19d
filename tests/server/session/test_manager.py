"""The longest known prefix of a conversation."""

import torch

from models.base import State
from server.engine.snapshot import FedIds, Snapshot
from server.session import SessionManager, SnapshotStore, chain, prompt_key

TALK = [("system", "s"), ("user", "hello"), ("assistant", "hi"), ("user", "bye")]
HEADER = "Assistant:"


def snapshot(tokens: int) -> Snapshot:
    one = torch.zeros(1, 1)
    return Snapshot(State(one, one, one), one, FedIds(range(tokens)))


def manager() -> SessionManager:
    return SessionManager(SnapshotStore(10**6))


KEYS = chain("f", "caller", TALK)
WHOLE = prompt_key(KEYS[-1], HEADER)


def test_an_unknown_conversation_starts_from_nothing() -> None:
    found = manager().resume(KEYS, WHOLE)
    assert (found.snapshot, found.messages, found.whole, found.tokens) == (None, 0, False, 0)


def test_the_longest_kept_prefix_is_found() -> None:
    sessions = manager()
    for count in (1, 3):
        sessions.keep(KEYS[count], snapshot(count * 10), None)
    found = sessions.resume(KEYS, WHOLE)
    assert (found.messages, found.whole, found.tokens) == (3, False, 30)


def test_a_prompt_that_is_known_to_its_header_is_whole() -> None:
    sessions = manager()
    sessions.keep(KEYS[3], snapshot(30), None)
    sessions.keep(WHOLE, snapshot(50), KEYS[3])
    found = sessions.resume(KEYS, WHOLE)
    assert (found.messages, found.whole, found.tokens) == (4, True, 50)


def test_a_conversation_that_is_known_without_the_header_is_not_whole() -> None:
    sessions = manager()
    sessions.keep(KEYS[4], snapshot(45), None)
    found = sessions.resume(KEYS, WHOLE)
    assert (found.messages, found.whole) == (4, False)


def test_another_callers_prefixes_are_not_found() -> None:
    sessions = manager()
    for key in KEYS:
        sessions.keep(key, snapshot(5), None)
    keys = chain("f", "another", TALK)
    assert sessions.resume(keys, prompt_key(keys[-1], HEADER)).snapshot is None


def test_an_edited_message_is_resumed_before_it() -> None:
    sessions = manager()
    for count in (1, 3, 4):
        sessions.keep(KEYS[count], snapshot(count), None)
    edited = chain("f", "caller", [*TALK[:3], ("user", "another")])
    assert sessions.resume(edited, prompt_key(edited[-1], HEADER)).messages == 3


def test_no_message_at_all_is_no_prefix_to_resume() -> None:
    sessions = manager()
    sessions.keep(KEYS[0], snapshot(5), None)
    assert sessions.resume(KEYS, WHOLE).snapshot is None
