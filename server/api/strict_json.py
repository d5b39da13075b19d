"""Routes whose body is JSON and nothing else.

Python's own parser takes NaN, lone surrogates and numbers beyond every float, and fails on deep
nesting; pydantic's refuses all but the large numbers, which the field types refuse.
A body that is not declared as JSON is refused too: a browser sends other types across origins
without asking, so any web page could make a server on this machine compute.
"""

import json
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json

from server.api.errors import Refusal
from server.api.repeated import SENDER


class _JsonRequest(Request):
    async def json(self) -> Any:
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error


class JsonRoute(APIRoute):
    """A route that reads its body, if it has one, as strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_body = self.body_field is not None

        async def handle_json(request: Request) -> Response:
            if takes_body:
                _require_json(request)
                SENDER.set(request.scope.get("state", {}).get("caller", ""))
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json


def _require_json(request: Request) -> None:
    packed = request.headers.get("content-encoding", "identity").lower()
    if packed != "identity":
        raise Refusal(
            415,
            f"The Content-Encoding header is {packed[:60]!r}; send the body as it is.",
            code="unsupported_media_type",
        )
    given = request.headers.get("content-type", "")
    message = Message()
    message["content-type"] = given or "unknown/unknown"
    kind = message.get_content_type()
    if not (kind.startswith("application/") and kind.endswith(("/json", "+json"))):
        found = f"is {given[:60]!r}" if given else "is missing"
        raise Refusal(
            415,
            f"The Content-Type header {found}; send the body as application/json.",
            code="unsupported_media_type",
        )
