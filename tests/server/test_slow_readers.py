"""A client that opens a stream and reads nothing, over a real socket."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from server.chat import delivery
from tests.server.readings import reading
from tests.server.tiny import checkpoint, served

CHOICES, MOST = 4, 100
ENDLESS = {"model": "tiny", "max_tokens": 10**6, "logit_bias": {"0": -100}, "n": CHOICES}
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}]},
    "/v1/completions": {"prompt": "Hello"},
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    options: dict[str, Any] = {"engine__max_slots": CHOICES}
    with served(path, **options) as (url, _):
        yield url


def asking(url: str, path: str) -> socket.socket:
    """A connection with little room, over which an endless stream was asked for."""
    data = json.dumps({**ENDLESS, **BODIES[path], "stream": True}).encode()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect((urlsplit(url).hostname, urlsplit(url).port))
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    connection.sendall(head.encode() + data)
    return connection


@pytest.mark.parametrize("path", BODIES)
def test_an_answer_that_nobody_reads_ends_and_frees_its_slots(
    url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "MOST_WAITING", MOST)
    before = reading(url, "rwkv_server_generated_tokens_total")
    with asking(url, path) as connection:
        end = time.monotonic() + 30
        # Not "until it is in flight": on a fast machine it has ended before anybody looks.
        while reading(url, "rwkv_server_generated_tokens_total") == before:
            assert time.monotonic() < end
        while reading(url, "rwkv_server_answers_in_flight"):
            assert time.monotonic() < end, "it goes on for nobody"
            time.sleep(0.05)
        generated = reading(url, "rwkv_server_generated_tokens_total") - before
        body = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert MOST < generated < 10**5
    assert body.count(b'"finish_reason":"length"') == CHOICES
    assert b"data: [DONE]" in body
