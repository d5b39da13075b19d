"""A chat completion in chunks: server-sent events as bytes.

The first chunk of each choice carries the role, for all choices in order before any text; the
last carries the finish_reason. The prompt's ids, if asked for, come with the first chunk, those
of each choice with its last. With include_usage a chunk without choices follows, and the other
chunks say `usage: null`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from types import MappingProxyType
from typing import Any

from server.api.chat.answer import SERVICE_TIER, Head, WireReason, finish_reason
from server.api.chat.usage import usage
from server.api.logprobs import chat_logprobs
from server.api.streams import DONE, TextFrames, frame
from server.chat.tokens import TokenBytes
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, ToolCallDelta, TurnEvent

_NOTHING: Mapping[str, Any] = MappingProxyType({})


async def chunks(
    turn: Turn, events: AsyncIterator[TurnEvent], writer: "ChunkWriter", choices: int
) -> AsyncGenerator[bytes]:
    """Parts of the stream: a chunk for every event, and what comes before and after them."""
    part = b"".join(writer.opening(choice, turn) for choice in range(choices))
    ends: list[ChoiceEnd] = []
    async for event in events:
        match event:
            case TextDelta():
                part += writer.text(event)
            case ReasoningDelta(choice, text):
                part += writer.reasoning(choice, text)
            case ToolCallDelta():
                part += writer.call(event)
            case ChoiceEnd():
                ends.append(event)
                part += writer.end(event, turn)
        if len(ends) < choices:
            yield part
            part = b""
    if writer.include_usage:
        part += writer.usage(turn, ends)
    yield part + DONE


class ChunkWriter:
    """Writes the chunks of one answer.

    token_bytes: given where likelihoods were asked for. legacy: calls in the older form.
    """

    def __init__(
        self,
        head: Head,
        *,
        include_usage: bool,
        token_bytes: TokenBytes | None = None,
        legacy: bool = False,
    ) -> None:
        self.include_usage = include_usage
        self._legacy = legacy
        self._token_bytes = token_bytes
        self._common = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
            "service_tier": SERVICE_TIER,
            "system_fingerprint": head.system_fingerprint,
        }
        self._frames: dict[tuple[int, str], TextFrames] = {}  # by choice and key

    def opening(self, choice: int, turn: Turn) -> bytes:
        delta = {"role": "assistant", "content": "", "refusal": None}
        if choice or turn.prompt_ids is None:
            return frame(self._choice(choice, delta))
        return frame(self._choice(choice, delta, prompt_token_ids=list(turn.prompt_ids)))

    def text(self, event: TextDelta) -> bytes:
        if self._token_bytes is None:
            return self._said(event.choice, "content", event.text)
        logprobs = chat_logprobs(event.tokens, self._token_bytes).model_dump()
        return frame(self._choice(event.choice, {"content": event.text}, logprobs=logprobs))

    def reasoning(self, choice: int, text: str) -> bytes:
        return self._said(choice, "reasoning_content", text)

    def _said(self, choice: int, key: str, text: str) -> bytes:
        frames = self._frames.get((choice, key))
        if frames is None:
            frames = self._frames[choice, key] = TextFrames(self._choice(choice, {key: ""}), key)
        return frames.frame(text)

    def call(self, event: ToolCallDelta) -> bytes:
        first = event.name is not None
        kind, field = ("custom", "input") if event.custom else ("function", "arguments")
        made = {"name": event.name} if first else {}
        made[field] = event.arguments
        if self._legacy:
            return frame(self._choice(event.choice, {"function_call": made}))
        begun = {"id": event.id, "type": kind} if first else {}
        call = {"index": event.index, **begun, kind: made}
        return frame(self._choice(event.choice, {"tool_calls": [call]}))

    def end(self, end: ChoiceEnd, turn: Turn) -> bytes:
        ids = {} if turn.prompt_ids is None else {"token_ids": turn.answer_ids[end.choice]}
        reason = finish_reason(end, legacy=self._legacy)
        return frame(self._choice(end.choice, {}, reason, more=ids))

    def usage(self, turn: Turn, ends: list[ChoiceEnd]) -> bytes:
        used = usage(turn, ends).model_dump()
        return frame(self._common | {"choices": [], "usage": used})

    def _choice(
        self,
        index: int,
        delta: dict[str, Any],
        reason: WireReason | None = None,
        logprobs: dict[str, Any] | None = None,
        *,
        more: Mapping[str, Any] = _NOTHING,
        **rest: Any,
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        if self.include_usage:
            rest["usage"] = None
        return self._common | {"choices": [{**choice, **more}]} | rest
