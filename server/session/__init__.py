"""Conversations over snapshots: which state a conversation can be continued from."""

from server.session.ids import Owner
from server.session.keys import Key, conversation_key, extend, prompt_key, salted
from server.session.manager import Resumption, SessionManager
from server.session.store import SnapshotStore

__all__ = [
    "Key",
    "Owner",
    "Resumption",
    "SessionManager",
    "SnapshotStore",
    "conversation_key",
    "extend",
    "prompt_key",
    "salted",
]
