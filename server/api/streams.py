"""Answers while the client is there: what stops when it leaves, and server-sent events."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from json.encoder import encode_basestring_ascii
from typing import Any, TypeVar

import anyio
from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from server.api.errors import failure, unexpected
from server.errors import RequestError

log = logging.getLogger(__name__)

_encode = json.JSONEncoder(separators=(",", ":")).encode

T = TypeVar("T")

DONE = b"data: [DONE]\n\n"

PING_S = 15.0  # proxies commonly cut a connection that is silent for 30 or 60 seconds
SHUTDOWN_S = 8.0  # longer than answers get to end by themselves, shorter than uvicorn waits

_unbroken: set[asyncio.Task[Any]] = set()  # held here, as the event loop holds no task


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


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on when its caller is cancelled."""
    task = asyncio.create_task(work)
    _unbroken.add(task)
    task.add_done_callback(_unbroken.discard)
    return await asyncio.shield(task)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def frame(data: dict[str, Any] | BaseModel) -> bytes:
    """One server-sent event, in ASCII: some clients take U+2028 or U+0085 for a line's end."""
    value = data.model_dump() if isinstance(data, BaseModel) else data
    return f"data: {_encode(value)}\n\n".encode("ascii")


class TextFrames:
    """Frames that differ in one string only, the value of `key`, which is "" in `data`.

    `key` must stand in `data` once with that value.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, data: dict[str, Any], key: str) -> None:
        # Within a string every quotation mark has a backslash before it, so this is no text.
        hole = f'"{key}":""'
        before, found, after = frame(data).decode("ascii").partition(hole)
        assert found
        assert hole not in after
        self._before, self._after = f'{before}"{key}":', after

    def frame(self, text: str) -> bytes:
        """The one that says `text`."""
        return f"{self._before}{encode_basestring_ascii(text)}{self._after}".encode("ascii")


def named_frame(data: dict[str, Any]) -> bytes:
    """One that also says its type, which is the data's own."""
    return f"event: {data['type']}\n".encode("ascii") + frame(data)


async def framed(frames: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """All frames and DONE; a failure on the way is a frame with `error`, and the last."""
    try:
        async for data in frames:
            yield data
        yield DONE
    except RequestError as error:
        yield frame(failure(error).body)
    except Exception:
        log.exception("a stream failed")
        yield frame(unexpected().body)


class EventStream(EventSourceResponse):
    """Sends frames that are ready-made bytes, and a comment every PING_S seconds.

    frames: ends the stream by ending. on_end: called once, however the stream ends.
    """

    def __init__(self, frames: AsyncGenerator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(
            frames,
            sep="\n",
            ping=PING_S,
            ping_message_factory=lambda: ServerSentEvent(comment="ping", sep="\n"),
            # The engine ends running answers with an error frame when the server stops; the
            # stream must last until that has been sent.
            shutdown_event=anyio.Event(),
            shutdown_grace_period=SHUTDOWN_S,
        )
        self._frames = frames
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body_iterator = self._sent(send)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()

    async def _sent(self, send: Send) -> AsyncGenerator[bytes]:
        """Sends every frame itself: the library opens a scope around each that it is given."""
        async with aclosing(self._frames) as frames:
            async for data in frames:
                await send({"type": "http.response.body", "body": data, "more_body": True})
        yield b""  # adds nothing to the body
