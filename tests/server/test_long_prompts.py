"""A long prompt stops nobody else: a real server answers while it is read."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.serving import server

MEGABYTE = 1_000_000
WATCHED_S = 3.0  # tokenising takes less
BOUND_S = 1.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server("--device", "cpu", cwd=tmp_path_factory.mktemp("home")) as url:
        yield url


def prompt(kind: str) -> str:
    chance = random.Random(4)
    letters = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=MEGABYTE))
    if kind == "one word":
        return letters
    return " ".join(letters[at : at + 6] for at in range(0, MEGABYTE, 7))


def ask(url: str, text: str) -> None:
    model = httpx.get(f"{url}/v1/models").json()["data"][0]["id"]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 1,
    }
    with pytest.raises(httpx.ReadTimeout):  # the model reads for longer, until the client leaves
        httpx.post(f"{url}/v1/chat/completions", json=body, timeout=WATCHED_S)


@pytest.mark.parametrize("kind", ["words", "one word"])
def test_health_answers_while_a_megabyte_is_read(url: str, kind: str) -> None:
    waits = []
    with httpx.Client(timeout=60) as client, ThreadPoolExecutor() as pool:
        client.get(f"{url}/health")
        asking = pool.submit(ask, url, prompt(kind))
        while not asking.done():
            start = time.perf_counter()
            assert client.get(f"{url}/health").status_code == 200
            waits.append(time.perf_counter() - start)
            time.sleep(0.01)
        asking.result()
    assert max(waits) < BOUND_S
