"""HTTP/1.1 to one server, as lean as it gets.

On a machine of few cores a client's work is taken from the server that it measures. So nothing is
looked into while an answer arrives: its parts are kept with the moments they came.
"""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

from server.bench.report import BenchError

_CONNECT_S = 10.0


@dataclass(slots=True)
class Reply:
    """sent, and the moments of `parts` and `ended`: seconds of time.perf_counter()."""

    sent: float
    status: int = 0
    parts: list[tuple[float, bytes]] = field(default_factory=list)
    ended: float = 0.0

    def body(self) -> bytes:
        return b"".join(part for _, part in self.parts)


class Wire:
    """Connections to one server, kept open between requests; to be used in one event loop."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        """Raises BenchError for what is no URL of http or https."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise BenchError(f"{url} is no URL ({error}).") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise BenchError(f"{url} is no URL of http or https.")
        self._context = ssl.create_default_context() if parts.scheme == "https" else None
        self._host, self._port = parts.hostname, port or (443 if self._context else 80)
        self._path = parts.path
        fields = {"Host": parts.netloc.rpartition("@")[2], **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._idle: list[_Connection] = []

    async def get(self, path: str) -> Reply:
        """Raises OSError or httptools.HttpParserError, as post() does."""
        return await self._ask(self._request("GET", path))

    async def post(self, path: str, body: bytes) -> Reply:
        head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return await self._ask(self._request("POST", path, head) + body)

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _request(self, method: str, path: str, head: str = "") -> bytes:
        return f"{method} {self._path}{path} HTTP/1.1\r\n{self._head}{head}\r\n".encode()

    async def _ask(self, request: bytes) -> Reply:
        reply = Reply(time.perf_counter())
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._exchange(connection, request, reply)
            except ConnectionError:
                if reply.status:
                    raise
                # The server had closed it meanwhile.
        return await self._exchange(await self._connect(), request, reply)

    async def _connect(self) -> "_Connection":
        create = asyncio.get_running_loop().create_connection
        opening = create(_Connection, self._host, self._port, ssl=self._context)
        _, connection = await asyncio.wait_for(opening, _CONNECT_S)
        return connection

    async def _exchange(self, connection: "_Connection", request: bytes, reply: Reply) -> Reply:
        try:
            await connection.exchange(request, reply)
        except BaseException:
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return reply


class _Connection(asyncio.Protocol):
    """One exchange at a time. The methods in `on_…` are called by the parser."""

    _transport: asyncio.Transport
    _parser: httptools.HttpResponseParser
    _done: "asyncio.Future[None] | None" = None
    _reply: Reply
    _bounded = False
    _lost = False
    reusable = False

    async def exchange(self, request: bytes, reply: Reply) -> None:
        """Fills `reply`. Raises OSError or httptools.HttpParserError."""
        if self._lost:
            raise ConnectionResetError("it closed the connection")
        self._reply = reply
        self._parser = httptools.HttpResponseParser(self)
        self._bounded = self.reusable = False
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._done

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done():
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        # Without a length, the end of the connection is the end of the body.
        if exc is None and self._done and self._reply.status and not self._bounded:
            self._end()
        else:
            self._end(exc or ConnectionResetError("it closed the connection"))

    def on_header(self, name: bytes, value: bytes) -> None:
        del value
        self._bounded |= name.lower() in {b"content-length", b"transfer-encoding"}

    def on_headers_complete(self) -> None:
        self._reply.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._reply.parts.append((time.perf_counter(), body))

    def on_message_complete(self) -> None:
        self.reusable = self._parser.should_keep_alive()
        self._end()

    def _end(self, error: Exception | None = None) -> None:
        if self._done is None or self._done.done():
            return
        self._reply.ended = time.perf_counter()
        if error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)
