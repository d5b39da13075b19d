"""Answers while the client is there: what stops when it leaves, and server-sent events."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

T = TypeVar("T")

PING_S = 15.0  # proxies commonly cut a connection that is silent for 30 or 60 seconds
_PING = b": ping\n\n"


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves (ClientDisconnect).

    The request's body must have been read: what else `receive` gives is passed over.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class EventStream(Response):
    """Sends frames that are ready-made bytes, and a comment whenever nothing came for long.

    frames: ends the stream by ending. on_end: called once, however the stream ends.
    Own work rather than sse-starlette's: that one cuts running streams when the process is told
    to stop, and comments at fixed times rather than in silence.
    """

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes], on_end: Callable[[], None]) -> None:
        self.status_code = 200
        self.background = None
        # Buffering proxies (nginx) would hold frames back.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._frames = frames
        self._on_end = on_end
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await while_connected(receive, self._send_all(send))
        finally:
            self._on_end()

    async def _send_all(self, send: Send) -> None:
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        clock = asyncio.get_running_loop().time
        self._sent_at = clock()
        pinging = asyncio.create_task(self._ping(send))
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    await _send_body(send, frame, more=True)
                    self._sent_at = clock()
        finally:
            pinging.cancel()
        await _send_body(send, b"", more=False)

    async def _ping(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            silent = clock() - self._sent_at
            if silent >= PING_S:
                await _send_body(send, _PING, more=True)
                self._sent_at = clock()
            else:
                await asyncio.sleep(PING_S - silent)


async def _send_body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})
