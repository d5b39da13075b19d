"""What surrounds every request: its id, a bound on its body, and an answer if all else fails."""

import logging
import re
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.dialects import REQUEST_ID as ANTHROPIC_REQUEST_ID
from server.api.dialects import speaks_anthropic
from server.api.errors import Refusal, failure, unexpected
from server.chance import fresh_hex

log = logging.getLogger(__name__)

REQUEST_ID = "x-request-id"
_LENGTH_DIGITS = 18  # more make a number that is too large in any case
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestIds:
    """Gives every response an `x-request-id`, the client's own if it sent a sane one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        asked = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = asked if _SANE_ID.fullmatch(asked) else f"req_{fresh_hex(16)}"
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                if speaks_anthropic(scope):
                    headers[ANTHROPIC_REQUEST_ID] = request_id
            await send(message)

        await self._app(scope, receive, send_with_id)


class LastResort:
    """Logs an unexpected exception and answers it with a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            log.debug("the client left", extra=_request_id(scope))
        except Exception:
            if started:  # the server then cuts the connection, so that half looks like half
                raise
            log.exception("a request failed", extra=_request_id(scope))
            await unexpected().response()(scope, receive, send)


def _request_id(scope: Scope) -> dict[str, str]:
    return {"request_id": scope.get("state", {}).get("request_id", "")}


class BodyLimit:
    """Answers 413 as soon as a body is known to be larger than `limit` bytes.

    larger: limits of addresses that have their own. The length a client declares is believed
    when it is too large, and counted in any case.
    """

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        declared = Headers(scope=scope).get("content-length", "")
        limit = self._larger.get(scope["path"], self._limit)
        if declared.isdecimal() and int(declared[:_LENGTH_DIGITS]) > limit:
            return await self._refuse(limit, scope, receive, send)
        await self._counted(limit, scope, receive, send)

    async def _counted(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0
        refused = False

        async def counting_receive() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit and not refused:
                refused = True
                await self._refuse(limit, scope, receive, send)
            # To the application, a client whose body is refused has gone.
            return {"type": "http.disconnect"} if refused else message

        async def send_unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        await self._app(scope, counting_receive, send_unless_refused)

    @staticmethod
    async def _refuse(limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"The request body is larger than the {limit:,} bytes this server reads."
        response = failure(Refusal(413, message, code="request_too_large")).response()
        await response(scope, receive, send)
