"""Conversations over snapshots: which state a conversation can be continued from."""

from server.session.archive import Archive
from server.session.cipher import Cipher, CipherError
from server.session.disk import DiskHome
from server.session.entry import PATH_STEP, Entry, Owner, owner_name
from server.session.home import Home, HomeError
from server.session.keys import Key, conversation_key, extend, prompt_key
from server.session.lock import FolderLock
from server.session.manager import Resumption, SessionManager
from server.session.packing import Packing
from server.session.store import SnapshotStore

__all__ = [
    "PATH_STEP",
    "Archive",
    "Cipher",
    "CipherError",
    "DiskHome",
    "Entry",
    "FolderLock",
    "Home",
    "HomeError",
    "Key",
    "Owner",
    "Packing",
    "Resumption",
    "SessionManager",
    "SnapshotStore",
    "conversation_key",
    "extend",
    "owner_name",
    "prompt_key",
]
