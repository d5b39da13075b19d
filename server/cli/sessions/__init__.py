"""`rwkv-server sessions`: the kept conversations of a running server."""

from server.cli.sessions.commands import app

__all__ = ["app"]
