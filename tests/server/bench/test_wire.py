"""The wire against servers that answer byte for byte as the test says."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httptools
import pytest

from server.bench.client import Client
from server.bench.report import BenchError
from server.bench.wire import Wire

HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = HEAD + b"Content-Length: 2\r\n\r\nok"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"
UNBOUNDED = HEAD + b"Connection: close\r\n\r\nok"


class Scripted:
    """Answers the requests of each connection with one script, then closes it."""

    def __init__(self, scripts: Sequence[Sequence[bytes]]) -> None:
        self._scripts = list(scripts)
        self.requests: list[bytes] = []
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in self._scripts.pop(0):
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
        writer.close()


@asynccontextmanager
async def scripted(
    *scripts: Sequence[bytes], context: ssl.SSLContext | None = None
) -> AsyncIterator[Scripted]:
    server = Scripted(scripts)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED, UNBOUNDED])
async def test_every_way_to_end_a_body_is_understood(answer: bytes) -> None:
    async with scripted([answer]) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}/under", {"X-Key": "it"})
        reply = await wire.get("/models")
        wire.close()
    assert (reply.status, reply.body()) == (200, b"ok")
    assert server.requests[0].startswith(b"GET /under/models HTTP/1.1\r\n")
    assert b"X-Key: it\r\n" in server.requests[0]


async def test_a_connection_is_used_again() -> None:
    async with scripted([LENGTH, CHUNKED]) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}", {})
        assert [(await wire.get("/")).body() for _ in range(2)] == [b"ok", b"ok"]
        wire.close()


async def test_a_connection_that_was_closed_meanwhile_is_replaced() -> None:
    async with scripted([LENGTH], [LENGTH]) as server:
        wire = Wire(f"http://127.0.0.1:{server.port}", {})
        assert [(await wire.get("/")).body() for _ in range(2)] == [b"ok", b"ok"]
        wire.close()


@pytest.mark.parametrize("answer", [b"", HEAD + b"Content-Length: 3\r\n\r\nok"])
async def test_an_answer_that_is_cut_off_is_an_error(answer: bytes) -> None:
    async with scripted([answer]) as server:
        with pytest.raises(ConnectionError, match="closed the connection"):
            await Wire(f"http://127.0.0.1:{server.port}", {}).get("/")


async def test_what_is_not_http_is_an_error() -> None:
    async with scripted([b"220 smtp\r\n\r\n"]) as server:
        with pytest.raises(httptools.HttpParserError):
            await Wire(f"http://127.0.0.1:{server.port}", {}).get("/")


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BenchError, match="is no URL"):
        Client("it", url)


async def test_https_is_spoken_with_whom_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    about = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *made, *about], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with scripted([LENGTH], [LENGTH], context=context) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(ssl.SSLError, match="self-signed"):
            await Wire(url, {}).get("/")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        wire = Wire(url, {})
        assert (await wire.get("/")).body() == b"ok"
        wire.close()
