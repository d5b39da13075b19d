"""Clients that leave streams which have begun leave nothing behind, to the byte.

DISCONNECTS sets how many; `make soak` asks for 10,000.
"""

import gc
import json
import logging
import os
import socket
import struct
import time
import tracemalloc
from asyncio import Task
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server.readings import reading
from tests.server.tiny import checkpoint, served

COUNT = int(os.environ.get("DISCONNECTS", "300"))
AT_ONCE = 8
# Before it is measured: caches and the budgets of what is kept have filled by then.
WARM = 200
# Bytes of Python's, whatever COUNT is: ids of kept states, some of them of long answers.
GROWTH = 256 * 2**10

WORDS = "Hello there, how are you?"
CHATTED = {"messages": [{"role": "user", "content": WORDS}], "max_tokens": 10**5}
BODIES = {
    "/v1/chat/completions": {**CHATTED, "ignore_eos": True},
    "/v1/completions": {"prompt": WORDS, "max_tokens": 10**5, "ignore_eos": True},
    "/v1/responses": {"input": WORDS, "max_output_tokens": 10**5, "ignore_eos": True},
    "/v1/messages": CHATTED,
}
BREAKS = list(product((1, 2, 3), BODIES))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    budgets = {"sessions__memory_bytes": 2**18, "sessions__records_bytes": 2**16}
    with served(checkpoint(tmp_path), **budgets) as (url, _):
        yield url


def leave(url: str, number: int) -> None:
    """Ask for an endless stream, and reset the connection behind one of its first events."""
    events, path = BREAKS[number % len(BREAKS)]
    data = json.dumps({"model": "tiny", "stream": True, **BODIES[path]}).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 60) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(head.encode() + data)
        seen = b""
        while seen.count(b"\n\n") < events:
            received = connection.recv(2**16)
            assert received, seen
            seen += received
        assert seen.startswith(b"HTTP/1.1 200 ")


def leave_many(url: str, numbers: range) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: leave(url, number), numbers):
            pass
    for name in ("rwkv_server_slots_used", "rwkv_server_answers_in_flight"):
        settle(lambda name=name: reading(url, name), 0)


def settle(value: Callable[[], float], most: float) -> None:
    """Waits for a value to come down: connections close, and states are written, a little later."""
    end = time.monotonic() + 20
    while (found := value()) > most:
        assert time.monotonic() < end, f"{found} is more than {most}"
        time.sleep(0.05)


def tasks() -> int:
    """Of any loop, those that have ended and are still held among them."""
    gc.collect()
    return sum(type(found) is Task for found in gc.get_objects())


def traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def tracing() -> Iterator[None]:
    """Without the lines of the log, which pytest keeps where an earlier test had them written."""
    logging.disable(logging.INFO)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("tracing")
def test_streams_that_are_left_behind_an_event_leave_nothing(url: str) -> None:
    leave_many(url, range(WARM))
    memory, running = traced(), tasks()
    files = reading(url, "process_open_fds")
    leave_many(url, range(WARM, WARM + COUNT))
    settle(traced, memory + GROWTH)
    settle(tasks, running)
    settle(lambda: reading(url, "process_open_fds"), files)
