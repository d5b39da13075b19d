"""A server's stream as a chat in a terminal reads it."""

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx
import pytest

from server.chat.types import Message
from server.cli.conversation import ChatError, Wishes
from server.cli.remote import RemoteSpeaker


def replies(*frames: bytes, status: int = 200) -> list[str]:
    """What a remote speaker makes of a response that arrives in these pieces."""

    async def pieces() -> AsyncGenerator[bytes]:
        for frame in frames:
            yield frame

    async def collect() -> list[str]:
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=pieces()))
        speaker = RemoteSpeaker("http://test/v1/", None, Wishes(), transport)
        try:
            return [text async for text in speaker.reply([Message("user", "Hi")])]
        finally:
            await speaker.close()

    return asyncio.run(collect())


def chunk(text: str, ensure_ascii: bool = True) -> bytes:
    data = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(data, ensure_ascii=ensure_ascii)}\n\n".encode()


def test_frames_may_arrive_in_any_pieces() -> None:
    data = chunk("Hé\u2028", ensure_ascii=False) + b": ping\r\n\r\n" + chunk("llo")
    data += b"data: [DONE]\n\n"
    assert replies(*(data[i : i + 1] for i in range(len(data)))) == ["Hé\u2028", "llo"]


def test_an_error_frame_is_the_reason() -> None:
    with pytest.raises(ChatError, match="it broke"):
        replies(chunk("Hel"), b'data: {"error":{"message":"it broke"}}\n\n')


@pytest.mark.parametrize(
    "content", [b'{"error":{"message":"no"}}', b"<html>", b"[]", b'{"error":1}']
)
def test_a_refusal_is_one_sentence_whatever_it_looks_like(content: bytes) -> None:
    with pytest.raises(ChatError, match=r"no|status 400"):
        replies(content, status=400)
