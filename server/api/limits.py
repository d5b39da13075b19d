"""What each key may use, told in OpenAI's `x-ratelimit-…` headers and refused with a 429."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.errors import Refusal, failure
from server.limits import Allowances, Refused

# Addresses that compute something.
_COMPUTING = frozenset(
    f"/v1/{name}"
    for name in ("chat/completions", "completions", "responses", "messages", "embeddings")
)
HEADERS = tuple(
    f"x-ratelimit-{what}-{kind}"
    for kind in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)


@dataclass(slots=True)
class Place:
    """A request's, among those of its key that are under way.

    kept: by what goes on behind the request, and calls `leave` at its own end.
    """

    leave: Callable[[], None]
    kept: bool = False


class RateLimits:
    """ASGI middleware around everything that is computed for a caller that was let in."""

    def __init__(self, app: ASGIApp, allowances: Allowances) -> None:
        self._app = app
        self._allowances = allowances

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        if not _computes(scope) or "caller" not in state:
            return await self._app(scope, receive, send)
        caller: str = state["caller"]
        inside = "priority" in state
        refused = self._allowances.enter(caller, inside=inside)
        if refused is not None:
            return await self._refusal(caller, refused)(scope, receive, send)

        async def send_with_levels(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers(caller))
            await send(message)

        place = Place(lambda: None if inside else self._allowances.leave(caller))
        state["place"] = place
        try:
            await self._app(scope, receive, send_with_levels)
        finally:
            if not place.kept:
                place.leave()

    def _refusal(self, caller: str, refused: Refused) -> ASGIApp:
        wait_s = max(1, math.ceil(refused.wait_s))
        message = f"{refused.reason[0].upper()}{refused.reason[1:]}; try again in {wait_s} s."
        headers = {"retry-after": str(wait_s), **self._headers(caller)}
        code = "rate_limit_exceeded"
        return failure(Refusal(429, message, code=code, headers=headers)).response()

    def _headers(self, caller: str) -> Mapping[str, str]:
        headers: dict[str, str] = {}
        for level in self._allowances.levels(caller):
            values = (str(level.limit), str(level.remaining), duration(level.full_s))
            names = (f"x-ratelimit-{what}-{level.kind}" for what in ("limit", "remaining", "reset"))
            headers |= zip(names, values, strict=True)
        return headers


def _computes(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in _COMPUTING


def duration(seconds: float) -> str:
    """As OpenAI writes it: 20ms, 1.5s, 6m0s."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    if minutes:
        return f"{int(minutes)}m{math.ceil(rest)}s"
    return f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
