"""Connections to a real server: many at once, and one for many requests."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.server.tiny import checkpoint, served

CHAT = "/v1/chat/completions"
TOKENS = 12


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    options: dict[str, Any] = {"engine__max_slots": 4, "engine__max_queue": 8}
    with served(path, server__max_body_bytes=4096, **options) as (url, _):
        yield url


def chat(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Hello"}]
    endless = {"max_tokens": TOKENS, "logit_bias": {"0": -100}}
    return {"model": "tiny", "messages": messages, **endless, **fields}


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET /v1/models/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=["words", "length", "address"],
)
def test_what_is_no_http_is_an_error_of_the_usual_shape(url: str, sent: bytes) -> None:
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        error = json.loads(response.read())["error"]
        assert connection.recv(1) == b""
    assert response.status == 400
    assert (response.headers["x-request-id"] or "").startswith("req_")
    assert error == {
        "message": "The request is not valid HTTP.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_http",
    }


async def test_each_of_a_hundred_streams_is_answered_or_refused(url: str) -> None:
    body = chat(stream=True, stream_options={"include_usage": True})
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        asked = [client.post(CHAT, json=body) for _ in range(100)]
        responses = await asyncio.gather(*asked)
    answered = [response for response in responses if response.status_code == 200]
    refused = [response for response in responses if response.status_code == 429]
    assert len(answered) + len(refused) == 100
    assert answered
    assert refused
    assert all(int(response.headers["retry-after"]) >= 1 for response in refused)
    for response in answered:
        *frames, done, after = response.text.split("\n\n")
        assert (done, after) == ("data: [DONE]", "")
        usage = json.loads(frames[-1].removeprefix("data: "))["usage"]
        assert usage["completion_tokens"] == TOKENS


def test_one_connection_serves_many_requests_mistakes_among_them(url: str) -> None:
    asked = [
        (CHAT, chat(), 200),
        (CHAT, chat(temperature=3), 400),
        (CHAT, chat(), 200),
        ("/v1/nothing", chat(), 404),
        (CHAT, chat(stream=True), 200),
        (CHAT, chat(user="x" * 5000), 413),
        (CHAT, chat(), 200),
    ]
    address = urlsplit(url)
    assert address.hostname
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    connection.connect()
    socket = connection.sock
    seen = []
    for path, body, _ in asked * 5:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        seen.append(response.status)
        assert connection.sock is socket
    connection.close()
    assert seen == [status for *_, status in asked * 5]
