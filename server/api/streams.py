"""Answers while the client is there: what stops when it leaves, and server-sent events."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from json.encoder import encode_basestring_ascii
from typing import Any, TypeVar

from pydantic import BaseModel
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from server.api.errors import failure, unexpected
from server.errors import RequestError

log = logging.getLogger(__name__)

_encode = json.JSONEncoder(separators=(",", ":")).encode

T = TypeVar("T")

DONE = b"data: [DONE]\n\n"

PING_S = 15.0  # proxies commonly cut a connection that is silent for 30 or 60 seconds
_PING = ServerSentEvent(comment="ping", sep="\n").encode()

_unbroken: set[asyncio.Task[Any]] = set()  # held here, as the event loop holds no task


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """What runs in this block is cancelled when the client leaves (ClientDisconnect).

    The request's body must have been read: what else `receive` gives is passed over.
    """
    block = asyncio.timeout(None)
    watching = asyncio.create_task(_end_with_client(block, receive))
    try:
        async with block:
            yield
    except TimeoutError:
        if not block.expired():  # it comes from within
            raise
        raise ClientDisconnect from None
    finally:
        watching.cancel()


async def _end_with_client(block: asyncio.Timeout, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    block.reschedule(asyncio.get_running_loop().time())


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which goes on when its caller is cancelled."""
    task = asyncio.create_task(work)
    _unbroken.add(task)
    task.add_done_callback(_unbroken.discard)
    return await asyncio.shield(task)


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


async def framed(parts: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """All of a stream's parts; a failure on the way is a frame with `error`, and the last."""
    try:
        async for data in parts:
            yield data
    except RequestError as error:
        yield frame(failure(error).body)
    except Exception:
        log.exception("a stream failed")
        yield frame(unexpected().body)


class EventStream(EventSourceResponse):
    """Sends frames that are ready-made bytes, and a comment every PING_S seconds.

    frames: ends the stream by ending, or with DONE, which ends the body as well. on_end: called
    once, however the stream ends. The library's own way to send takes four tasks, each in a scope:
    see docs/decisions/0064.
    """

    def __init__(self, frames: AsyncGenerator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(frames)
        self._frames = frames
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ends quietly when the client leaves; frames are closed in any case."""
        del scope
        pinging = asyncio.create_task(_ping(send))
        try:
            with suppress(ClientDisconnect):
                async with while_connected(receive), aclosing(self._frames) as frames:
                    await send(self._start())
                    more = True
                    async for data in frames:
                        if data.endswith(DONE):
                            pinging.cancel()
                            more = False
                        await send(_part(data, more=more))
                    if more:
                        pinging.cancel()
                        await send(_part(b"", more=False))
        finally:
            pinging.cancel()
            self._on_end()

    def _start(self) -> Message:
        headers = self.raw_headers
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}


async def _ping(send: Send) -> None:
    while True:
        await asyncio.sleep(PING_S)
        await send(_part(_PING))


def _part(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
