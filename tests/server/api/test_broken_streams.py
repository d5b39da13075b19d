"""Streams of answers that fail on the way end in an error that is documented too."""

from typing import Any

import pytest

from server.chat.types import ReasoningDelta, TextDelta, ToolCallDelta
from server.errors import AnswerFailed
from tests.server.api.doubles import Api, Step
from tests.server.api.sent import CHATS, MESSAGES, documented, is_official

HELLO = [{"role": "user", "content": "Hi"}]
BROKEN: dict[str, list[Step]] = {
    "a thought": [ReasoningDelta(0, "Hm")],
    "a text": [ReasoningDelta(0, "Hm"), TextDelta(0, "Hel")],
    "a call": [TextDelta(0, "Wait."), ToolCallDelta(0, 0, "", "call_a", "f")],
}


async def told(api: Api, path: str) -> list[dict[str, Any]]:
    body = {"model": "tiny", "max_tokens": 9, "messages": HELLO, "stream": True}
    return documented((await api.client.post(path, json=body)).text, path)


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_a_chat_ends_in_an_error(api: Api, script: list[Step]) -> None:
    api.service.script = [*script, AnswerFailed("broken")]
    *chunks, last = await told(api, CHATS)
    assert len(chunks) == 1 + len(script)
    for chunk in chunks:
        is_official(chunk, CHATS)
    assert last["error"]["message"] == "broken"


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_a_message_ends_in_an_error(api: Api, script: list[Step]) -> None:
    api.service.script = [*script, AnswerFailed("broken")]
    events = await told(api, MESSAGES)
    for event in events:
        is_official(event, MESSAGES)
    assert events[-1]["error"] == {"type": "api_error", "message": "broken"}
