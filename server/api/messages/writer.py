"""What is generated becomes a message's blocks, and the events that tell of them in order.

Whole messages come from the same writer, so that a stream says just what they say.
"""

import json
from collections.abc import Iterator
from typing import Any

from server.api.chat.usage import Counted
from server.api.items import new_id
from server.api.messages.answer import (
    UNSIGNED,
    AnthropicAnswer,
    MessageUsage,
    StopReason,
    ThinkingDetails,
)
from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, ToolCallDelta, TurnEvent

Event = dict[str, Any]


class MessageWriter:
    """Writes one message."""

    def __init__(self, turn: Counted, model: str) -> None:
        usage = MessageUsage(
            input_tokens=turn.prompt_tokens - turn.cached_tokens,
            cache_read_input_tokens=turn.cached_tokens,
        )
        self.message = AnthropicAnswer(id=new_id("msg"), model=model, usage=usage)
        self._block: dict[str, Any] | None = None
        self._arguments = ""  # of the call that is open

    def begin(self) -> Iterator[Event]:
        yield {"type": "message_start", "message": self.message.model_dump()}
        yield {"type": "ping"}

    def push(self, event: TurnEvent) -> Iterator[Event]:
        match event:
            case ReasoningDelta(_, text):
                yield from self._open("thinking", thinking="", signature="")
                yield from self._more("thinking", text, "thinking_delta")
            case TextDelta(_, text) if text:
                yield from self._open("text", text="")
                yield from self._more("text", text, "text_delta")
            case ToolCallDelta():
                yield from self._call(event)
            case ChoiceEnd():
                yield from self._end(event)

    def _end(self, end: ChoiceEnd) -> Iterator[Event]:
        said = {block["type"] for block in self.message.content} - {"thinking"}
        if not said and end.reason == "stop":
            yield from self._open("text", text="")
        yield from self._close()
        message, usage = self.message, self.message.usage
        message.stop_reason, message.stop_sequence = _reason(end), end.stop
        usage.output_tokens = end.tokens
        usage.output_tokens_details = ThinkingDetails(thinking_tokens=end.reasoning_tokens)
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": message.stop_reason, "stop_sequence": end.stop},
            "usage": usage.model_dump(exclude={"service_tier"}),
        }
        yield {"type": "message_stop"}

    def _call(self, event: ToolCallDelta) -> Iterator[Event]:
        if event.name is not None:
            yield from self._close()
            id = f"toolu_{(event.id or '').removeprefix('call_')}"
            yield from self._open("tool_use", id=id, name=event.name, input={})
        if event.arguments:
            self._arguments += event.arguments
            yield self._delta({"type": "input_json_delta", "partial_json": event.arguments})

    def _open(self, kind: str, **fields: Any) -> Iterator[Event]:
        """A block of that kind, unless one is open."""
        if self._block is not None and self._block["type"] == kind:
            return
        yield from self._close()
        self._block = {"type": kind, **fields}
        self.message.content.append(self._block)
        index = len(self.message.content) - 1
        yield {"type": "content_block_start", "index": index, "content_block": dict(self._block)}

    def _more(self, field: str, text: str, type: str) -> Iterator[Event]:
        assert self._block is not None
        self._block[field] += text
        yield self._delta({"type": type, field: text})

    def _close(self) -> Iterator[Event]:
        block = self._block
        if block is None:
            return
        if block["type"] == "thinking":
            block["signature"] = UNSIGNED
            yield self._delta({"type": "signature_delta", "signature": UNSIGNED})
        elif block["type"] == "tool_use":
            block["input"] = _parsed(self._arguments)
            self._arguments = ""
        yield {"type": "content_block_stop", "index": len(self.message.content) - 1}
        self._block = None

    def _delta(self, delta: dict[str, Any]) -> Event:
        index = len(self.message.content) - 1
        return {"type": "content_block_delta", "index": index, "delta": delta}


def _reason(end: ChoiceEnd) -> StopReason:
    if end.reason == "tool_calls":
        return "tool_use"
    if end.reason == "stop":
        return "end_turn" if end.stop is None else "stop_sequence"
    return "max_tokens"


def _parsed(arguments: str) -> dict[str, Any]:
    """Of a call that was cut there is nothing to be had."""
    try:
        found: dict[str, Any] = json.loads(arguments)
    except ValueError:
        return {}
    return found
