"""A caller's sessions: listed, forked, rewound, pinned, deleted, and carried to other servers."""

from server.chat.sessions.kept import Bounds, KeptSessions
from server.chat.sessions.transfers import Imported, Transfers

__all__ = ["Bounds", "Imported", "KeptSessions", "Transfers"]
