"""Bearer keys: who may call, and as whom."""

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.dialects import speaks_anthropic
from server.api.errors import Refusal, failure

ANONYMOUS = "anonymous"
# Whoever watches the server needs no key; these say nothing of its conversations.
OPEN_PATHS = frozenset({"/health", "/ready", "/version", "/docs"})


class KeyRing:
    """The keys that are let in; without any, everybody is, as one and the same caller.

    A caller is known by the SHA-256 of its key, so that no key is kept beside its conversations.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def caller(self, authorization: str | None) -> str | None:
        """The caller an Authorization header names; None if it is not let in."""
        if not self._digests:
            return ANONYMOUS
        scheme, _, key = (authorization or "").partition(" ")
        # Headers arrive as Latin-1; this gives back the bytes that were sent.
        given = _digest(key.strip().encode("latin-1"))
        # Every digest is compared, and each in constant time, so that time tells nothing.
        found = [hmac.compare_digest(digest, given) for digest in self._digests]
        return given if scheme.lower() == "bearer" and any(found) else None


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()


class Authentication:
    """ASGI middleware that puts the caller into the request's state, or answers 401."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            return await self._app(scope, receive, send)
        if "caller" in scope.get("state", {}):  # a request from within
            return await self._app(scope, receive, send)
        authorization = _authorization(scope)
        caller = self._keys.caller(authorization)
        if caller is None:
            await _refusal(authorization)(scope, receive, send)
        else:
            scope.setdefault("state", {})["caller"] = caller
            await self._app(scope, receive, send)


def _authorization(scope: Scope) -> str | None:
    """Anthropic's clients have a header of their own for the key."""
    headers = Headers(scope=scope)
    key = headers.get("x-api-key") if speaks_anthropic(scope) else None
    return headers.get("authorization") if key is None else f"Bearer {key}"


def _refusal(authorization: str | None) -> ASGIApp:
    found = "The API key is not valid" if authorization else "There is no API key"
    message = f"{found}; send one of this server's keys as 'Authorization: Bearer KEY'."
    headers = {"www-authenticate": "Bearer"}
    return failure(Refusal(401, message, code="invalid_api_key", headers=headers)).response()
