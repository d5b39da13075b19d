"""Kept conversations as things: listed, forked, rewound, pinned, deleted, exported, imported."""

from server.api.sessions.routes import IMPORT, router

__all__ = ["IMPORT", "router"]
