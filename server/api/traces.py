"""A span for every request, where traces are wanted."""

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.errors import ERROR, ErrorDetail
from server.api.inside import comes_from_inside
from server.api.metrics import route_of
from server.api.watched import Watched

if TYPE_CHECKING:
    from server.telemetry.spans import Tracing


class Traced:
    """ASGI middleware; the request's id is known before it."""

    def __init__(self, app: ASGIApp, tracing: "Tracing") -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        watched, state = Watched(send), scope["state"]
        with self._tracing.request(
            scope["method"],
            Headers(scope=scope),
            state["request_id"],
            inside=comes_from_inside(scope),
        ) as span:
            try:
                await self._app(scope, receive, watched)
            finally:
                error = state.get(ERROR)
                found = (error.code or error.type) if isinstance(error, ErrorDetail) else None
                span.end(route_of(scope), watched.status, found)
