"""GET /metrics, and the counting of all requests."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.context import Served
from server.api.errors import ERROR, ErrorDetail
from server.api.watched import Watched
from server.metrics import Metrics

router = APIRouter(tags=["service"])

_NO_ROUTE = "none"
_TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/metrics", response_class=Response, responses=_TEXT)
async def metrics(request: Request, context: Served) -> Response:
    """Counters, histograms and gauges for Prometheus."""
    # In the event loop, to which everything belongs that is read.
    content, content_type = context.metrics.exposition(request.headers.get("accept", ""))
    return Response(content, headers={"content-type": content_type})


class Counted:
    """ASGI middleware that counts requests by the address they reached, and how they ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start, watched = perf_counter(), Watched(send)
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.request(route_of(scope), watched.status, perf_counter() - start)
            self._count_error(scope)

    def _count_error(self, scope: Mapping[str, object]) -> None:
        state = scope.get("state")
        error = state.get(ERROR) if isinstance(state, Mapping) else None
        if isinstance(error, ErrorDetail):
            self._metrics.error(error.type, error.code)


def route_of(scope: Scope) -> str:
    """The address as it is documented, whatever stands in it, so that there are few of them."""
    return str(getattr(scope.get("route"), "path_format", _NO_ROUTE))
