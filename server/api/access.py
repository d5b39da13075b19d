"""The access log: a line for each request when it has ended, with its id and nothing it said."""

import logging
from collections.abc import Mapping
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from server.api.inside import comes_from_inside
from server.api.watched import Watched
from server.log import ACCESS

log = logging.getLogger(ACCESS)


class AccessLog:
    """ASGI middleware, within what gives a request its id.

    Seconds are those until the response was sent, as a stream to its end. What batches ask is not
    logged: they have files of their own, of every answer under its request's id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_logged = scope["type"] == "http" and log.isEnabledFor(logging.INFO)
        if not is_logged or comes_from_inside(scope):
            return await self._app(scope, receive, send)
        start, watched = perf_counter(), Watched(send)
        try:
            await self._app(scope, receive, watched)
        finally:
            log.info("request", extra=_fields(scope, watched.status, perf_counter() - start))


def _fields(scope: Mapping[str, Any], status: int, seconds: float) -> dict[str, object]:
    client = scope.get("client")
    return {
        "method": scope["method"],
        # As it was sent, so that it has no line feeds; a query may quote a prompt.
        "path": scope["raw_path"].decode("ascii", "replace").partition("?")[0],
        "status": status,
        "seconds": round(seconds, 4),
        "request_id": scope["state"]["request_id"],
        "client": f"{client[0]}:{client[1]}" if client else None,
    }
