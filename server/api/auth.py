"""Keys, as OpenAI's and Anthropic's clients send them: who may call, and as whom."""

import hashlib
import hmac
from collections.abc import Collection, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

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

    def caller(self, keys: Collection[str]) -> str | None:
        """The caller that a request with these keys is of; None if it is not let in.

        One with two different keys is not: whose conversations it means cannot be known.
        """
        if not self._digests:
            return ANONYMOUS
        # Headers arrive as Latin-1; this gives back the bytes that were sent.
        given = _digest(next(iter(keys), "").encode("latin-1"))
        # Every digest is compared, and each in constant time, so that time tells nothing.
        found = [hmac.compare_digest(digest, given) for digest in self._digests]
        return given if len(keys) == 1 and any(found) else None


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
        keys = _sent_keys(Headers(scope=scope))
        caller = self._keys.caller(keys)
        if caller is None:
            await _refusal(keys)(scope, receive, send)
        else:
            scope.setdefault("state", {})["caller"] = caller
            await self._app(scope, receive, send)


def _sent_keys(headers: Headers) -> set[str]:
    """Anthropic's clients have a header of their own for the key, and some send both."""
    bearers = (one.partition(" ") for one in headers.getlist("authorization"))
    keys = [key.strip() for scheme, _, key in bearers if scheme.lower() == "bearer"]
    return {key for key in (*keys, *headers.getlist("x-api-key")) if key}


def _refusal(keys: Collection[str]) -> ASGIApp:
    found = "The API key is not valid" if keys else "There is no API key"
    if len(keys) > 1:
        found = "Authorization and x-api-key have different keys"
    how = "as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"
    message = f"{found}; send one of this server's keys {how}."
    headers = {"www-authenticate": "Bearer"}
    return failure(Refusal(401, message, code="invalid_api_key", headers=headers)).response()
