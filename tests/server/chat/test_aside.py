"""Long texts are tokenised beside the event loop, which goes on meanwhile."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from server.chat.aside import LARGE
from server.chat.completion import CompletionRequest
from server.chat.embedding import EmbeddingRequest
from server.chat.types import Message, TurnRequest
from tests.doubles import ByteTokenizer
from tests.server.chat.talking import Server, serving

Start = Callable[[Server, str], Awaitable[object]]


def chat(server: Server, text: str) -> Awaitable[object]:
    return server.service.start(TurnRequest("ann", (Message("user", text),), max_tokens=1))


def completion(server: Server, text: str) -> Awaitable[object]:
    return server.service.completions.start(CompletionRequest("ann", (text,), max_tokens=1))


def embedding(server: Server, text: str) -> Awaitable[object]:
    return server.service.embeddings.start(EmbeddingRequest("ann", (text,)))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """Those in which texts were tokenised; each takes a while."""
    found: list[threading.Thread] = []
    encode = ByteTokenizer.encode

    def slow(self: ByteTokenizer, text: str) -> list[int]:
        found.append(threading.current_thread())
        time.sleep(0.05)
        return encode(self, text)

    monkeypatch.setattr(ByteTokenizer, "encode", slow)
    return found


@pytest.mark.parametrize("start", [chat, completion, embedding])
async def test_the_loop_goes_on_while_a_long_text_is_tokenised(
    start: Start, threads: list[threading.Thread]
) -> None:
    async with serving() as server:
        task = asyncio.ensure_future(start(server, "x" * (LARGE + 1)))
        busy, ticks = False, 0
        while not task.done():
            await asyncio.sleep(0)
            busy |= server.client.busy and not server.client.in_flight
            ticks += 1
        await task
        assert ticks > 3
        assert busy  # so that its model is not unloaded meanwhile
        assert threading.main_thread() not in threads
        assert threads


@pytest.mark.parametrize("start", [chat, completion, embedding])
async def test_a_short_text_needs_no_thread(start: Start, threads: list[threading.Thread]) -> None:
    async with serving() as server:
        await start(server, "Hello")
        assert set(threads) == {threading.main_thread()}
