"""A chat completion in chunks: server-sent events as bytes.

The first chunk of each choice carries the role, for all choices in order before any text; the
last carries the finish_reason. With include_usage a chunk without choices follows, and the
other chunks say `usage: null`.
"""

import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from pydantic import BaseModel

from server.api.chat_answer import REASONS, SERVICE_TIER, Head, WireReason, usage
from server.api.errors import failure, unexpected
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, TurnEvent
from server.errors import RequestError

log = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"


async def chunks(
    turn: Turn, events: AsyncIterator[TurnEvent], writer: "ChunkWriter", choices: int
) -> AsyncGenerator[bytes]:
    """All frames of an answer; a failure on the way is a frame with `error`, and the last."""
    try:
        for choice in range(choices):
            yield writer.opening(choice)
        ends: list[ChoiceEnd] = []
        async for event in events:
            match event:
                case TextDelta(choice, text):
                    yield writer.text(choice, text)
                case ReasoningDelta(choice, text):
                    yield writer.reasoning(choice, text)
                case ChoiceEnd(choice, reason):
                    ends.append(event)
                    yield writer.end(choice, REASONS[reason])
        if writer.include_usage:
            yield writer.usage(turn, ends)
        yield DONE
    except RequestError as error:
        yield frame(failure(error).body)
    except Exception:
        log.exception("a stream failed")
        yield frame(unexpected().body)


class ChunkWriter:
    """Writes the chunks of one answer."""

    def __init__(self, head: Head, *, include_usage: bool) -> None:
        self.include_usage = include_usage
        self._common = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
            "service_tier": SERVICE_TIER,
            "system_fingerprint": head.system_fingerprint,
        }

    def opening(self, choice: int) -> bytes:
        return self._choice(choice, {"role": "assistant", "content": "", "refusal": None})

    def text(self, choice: int, text: str) -> bytes:
        return self._choice(choice, {"content": text})

    def reasoning(self, choice: int, text: str) -> bytes:
        return self._choice(choice, {"reasoning_content": text})

    def end(self, choice: int, reason: WireReason) -> bytes:
        return self._choice(choice, {}, reason)

    def usage(self, turn: Turn, ends: list[ChoiceEnd]) -> bytes:
        used = usage(turn, ends).model_dump()
        return frame(self._common | {"choices": [], "usage": used})

    def _choice(self, index: int, delta: dict[str, Any], reason: WireReason | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        rest = {"usage": None} if self.include_usage else {}
        return frame(self._common | {"choices": [choice]} | rest)


def frame(data: dict[str, Any] | BaseModel) -> bytes:
    """One server-sent event, in ASCII: some clients take U+2028 or U+0085 for a line's end."""
    value = data.model_dump() if isinstance(data, BaseModel) else data
    return f"data: {json.dumps(value, separators=(',', ':'))}\n\n".encode("ascii")
