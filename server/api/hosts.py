"""By which names the server may be called.

A web page can give its own name the address 127.0.0.1 and then talk to whatever listens there,
as to itself: no other origin is involved. Its requests still carry its own name.
"""

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.errors import Refusal, failure
from server.config import ServerSettings


def watches_hosts(settings: ServerSettings) -> bool:
    """Names matter where they are configured, and where being on this machine is all it takes."""
    return bool(settings.allowed_hosts) or (is_local(settings.host) and not settings.api_keys)


class KnownHosts:
    """ASGI middleware that answers 421 to a Host that is neither this machine nor in `names`."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset(bare_host(name) for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get("host")
        # Every browser sends one.
        if given is None or is_local(host := bare_host(given)) or host in self._names:
            return await self._app(scope, receive, send)
        message = (
            f"This server is not called {host[:100]!r}; if it should be, add that name to "
            "server.allowed_hosts."
        )
        await failure(Refusal(421, message, code="unknown_host")).response()(scope, receive, send)


def bare_host(given: str) -> str:
    """A name or address without its port."""
    text = given.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    name, _, port = text.rpartition(":")
    # An address of version 6 without brackets has several colons, and no port.
    return (name if name and ":" not in name and port.isdigit() else text).rstrip(".")


def is_local(host: str) -> bool:
    """A name or an address that no other machine can have."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
