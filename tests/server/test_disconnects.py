"""Many clients that break their connections at any moment leave nothing behind.

DISCONNECTS sets how many; `make soak` asks for 10,000.
"""

import json
import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.server.readings import reading
from tests.server.tiny import checkpoint
from tests.serving import server

COUNT = int(os.environ.get("DISCONNECTS", "300"))
AT_ONCE = 8
# Before it is measured: pools, caches and the budget of kept states have filled by then.
WARM = 200
# Bytes, whatever COUNT is. What waits for the disk may be 16 MiB, beside what its threads write: it
# fills whenever answers get further than the disk.
GROWTH = {"true": 48 * 2**20, "false": 8 * 2**20}


@pytest.fixture(params=GROWTH)
def archive(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(tmp_path: Path, archive: str) -> Iterator[str]:
    settings = f'[sessions]\nmemory_bytes = "2MiB"\narchive = {archive}\n'
    (tmp_path / "config.toml").write_text(settings)
    with server("--model", str(checkpoint(tmp_path)), "--device", "cpu", cwd=tmp_path) as url:
        yield url


def break_off(url: str, number: int) -> None:
    """Ask for an endless answer, and reset the connection some time later."""
    chance = random.Random(number)
    body = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello" * chance.randint(1, 40)}],
        "max_tokens": 100_000,
        "logit_bias": {"0": -100},
        "stream": chance.random() < 0.7,
        "n": chance.choice([1, 1, 2]),
    }
    data = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    sent = head.encode() + data
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)) as connection:
        reset = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        connection.sendall(sent[: chance.choice([len(sent)] * 9 + [len(sent) // 2])])
        time.sleep(chance.choice([0, 0.002, 0.01, 0.03]))


def break_off_many(url: str, numbers: range) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda number: break_off(url, number), numbers):
            pass
    await_rest(url)


def await_rest(url: str) -> None:
    end = time.monotonic() + 60  # 20 where other programs have the processors
    while reading(url, "rwkv_server_slots_used") or reading(url, "rwkv_server_answers_in_flight"):
        assert time.monotonic() < end, "slots are still in use"
        time.sleep(0.05)


def await_closed(url: str, most: float) -> None:
    """What the archive is writing is open for a moment, several files at a time."""
    end = time.monotonic() + 20
    while (files := reading(url, "process_open_fds")) > most:
        assert time.monotonic() < end, f"{files} files are still open"
        time.sleep(0.05)


def test_broken_connections_leave_nothing_behind(url: str, archive: str) -> None:
    break_off_many(url, range(WARM))
    memory = reading(url, "process_resident_memory_bytes")
    files = reading(url, "process_open_fds")
    break_off_many(url, range(WARM, WARM + COUNT))
    assert reading(url, "process_resident_memory_bytes") < memory + GROWTH[archive]
    await_closed(url, files + 2)
    answer = httpx.post(
        f"{url}/v1/chat/completions",
        json={"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3},
        timeout=20,
    )
    assert answer.status_code == 200
