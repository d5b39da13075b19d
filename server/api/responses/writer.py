"""What is generated becomes a response's items, and the events that tell of them in order.

An item is added, filled and done before the next one; each is in the completed response as it
was done. Whole answers come from the same writer, so that a stream says just what they say.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from server.api.items import Item, item_id
from server.api.items.kept import output_text
from server.api.logprobs import chat_logprobs
from server.api.responses.answer import (
    OPEN,
    IncompleteDetails,
    Response,
    ResponseError,
    ResponseUsage,
    Status,
)
from server.chat.tokens import TokenBytes
from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, ToolCallDelta, TurnEvent

Event = dict[str, Any]
# Of calls, the field that is written.
_WRITTEN = {"function_call": "arguments", "custom_tool_call": "input"}
_OUTGROWN = "The answer is larger than what this server keeps of one."
_FINAL: Mapping[Status, str] = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "cancelled": "response.incomplete",
    "failed": "response.failed",
}


class ResponseWriter:
    """Writes one response. token_bytes: given where likelihoods were asked for.

    cancelled: set by whoever ends the answer before its time.
    """

    def __init__(self, response: Response, token_bytes: TokenBytes | None = None) -> None:
        self.response = response
        self.cancelled = False
        self._token_bytes = token_bytes
        self._item: Item | None = None
        self._number = 0  # of the next event

    @property
    def ended(self) -> bool:
        return self.response.status not in OPEN

    @property
    def queued(self) -> bool:
        return self.response.status == "queued"

    def begin(self) -> Iterator[Event]:
        yield self._told("response.created")
        yield self._told(f"response.{self.response.status}")

    def start(self) -> Event:
        """The engine has begun with what was queued."""
        self.response.status = "in_progress"
        return self._told("response.in_progress")

    def push(self, event: TurnEvent) -> Iterator[Event]:
        """More of the answer; not its end."""
        match event:
            case ReasoningDelta(_, text):
                yield from self._thought(text)
            case TextDelta():
                yield from self._text(event)
            case ToolCallDelta():
                yield from self._call(event)

    def end(self, end: ChoiceEnd, usage: ResponseUsage) -> Iterator[Event]:
        """The last item is done, and so is the response. Numbered when it is read."""
        done: Status = "completed" if end.reason in {"stop", "tool_calls"} else "incomplete"
        said = {item["type"] for item in self.response.output} - {"reasoning"}
        if not said and (done == "completed" or not self.response.output):
            yield from self._open("message", role="assistant", content=[])
        yield from self._close("completed" if done == "completed" else "incomplete")
        self.response.usage = usage
        if done == "completed":
            self.response.completed_at = int(time.time())
        elif not self.cancelled:
            self.response.incomplete_details = IncompleteDetails()
        status: Status = "cancelled" if self.cancelled and done != "completed" else done
        yield self._final(status)

    def fail(self, message: str) -> Iterator[Event]:
        yield from self._close("incomplete")
        self.response.error = ResponseError(message=message)
        yield self._final("failed")

    def outgrow(self, last: Event) -> Event:
        """The last event, as it is told of a response that has become too large to be stored.

        One in the background, which only the store can tell, has failed then.
        """
        response = self.response
        if not response.background:
            response.store = False
            return last | {"response": response.model_dump()}
        response.completed_at = response.incomplete_details = None
        response.output, response.status = [], "failed"
        response.error = ResponseError(message=_OUTGROWN)
        return last | {"type": _FINAL["failed"], "response": response.model_dump()}

    def left_out(self, last: Event) -> Event:
        """The last event, as it is told of a response that is no part of its conversation."""
        self.response.conversation = None
        return last | {"response": self.response.model_dump()}

    def break_off(self) -> None:
        """Nobody listens any more."""
        self.cancelled = True
        for _ in self._close("incomplete"):
            pass
        self.response.status = "cancelled"

    def _final(self, status: Status) -> Event:
        self.response.status = status
        return self._told(_FINAL[status])

    def _thought(self, text: str) -> Iterator[Event]:
        if self._item is None or self._item["type"] != "reasoning":
            yield from self._open("reasoning", summary=[], content=[])
        self._part["text"] += text
        yield self._event("response.reasoning_text.delta", content_index=0, delta=text)

    def _text(self, event: TextDelta) -> Iterator[Event]:
        if self._item is None or self._item["type"] != "message":
            if not event.text:  # tokens of a text that is done already: half a character
                return
            yield from self._open("message", role="assistant", content=[])
        logprobs = self._logprobs(event)
        self._part["text"] += event.text
        self._part["logprobs"] += logprobs
        yield self._event(
            "response.output_text.delta",
            content_index=0,
            delta=event.text,
            logprobs=[_without_bytes(one) for one in logprobs],
        )

    def _logprobs(self, event: TextDelta) -> list[dict[str, Any]]:
        if self._token_bytes is None:
            return []
        return [one.model_dump() for one in chat_logprobs(event.tokens, self._token_bytes).content]

    def _call(self, event: ToolCallDelta) -> Iterator[Event]:
        kind = "custom_tool_call" if event.custom else "function_call"
        field = _WRITTEN[kind]
        if event.name is not None:
            named = {"call_id": event.id, "name": event.name}
            yield from self._open(kind, **{field: ""}, **named)
        assert self._item is not None
        if event.arguments:
            self._item[field] += event.arguments
            yield self._event(f"response.{kind}_{field}.delta", delta=event.arguments)

    def _open(self, kind: str, **fields: Any) -> Iterator[Event]:
        """A new item, behind the end of the one before."""
        yield from self._close("completed")
        id = item_id(kind, self.response.id, "o", len(self.response.output))
        self._item = {"id": id, "type": kind, "status": "in_progress", **fields}
        self.response.output.append(self._item)
        yield self._event("response.output_item.added", item=self._item)
        if kind not in _WRITTEN:
            part = _thought_part() if kind == "reasoning" else output_text("")
            self._item["content"].append(part)
            yield self._event("response.content_part.added", content_index=0, part=part)

    def _close(self, status: Status) -> Iterator[Event]:
        """The end of the item that is open, if one is."""
        item = self._item
        if item is None:
            return
        match item["type"]:
            case "function_call":
                told = {"name": item["name"], "arguments": item["arguments"]}
                yield self._event("response.function_call_arguments.done", **told)
            case "custom_tool_call":
                yield self._event("response.custom_tool_call_input.done", input=item["input"])
            case "reasoning":
                text = self._part["text"]
                yield self._event("response.reasoning_text.done", content_index=0, text=text)
                yield self._event("response.content_part.done", content_index=0, part=self._part)
            case _:
                text = self._part["text"]
                logprobs = [_without_bytes(one) for one in self._part["logprobs"]]
                told = {"content_index": 0, "text": text, "logprobs": logprobs}
                yield self._event("response.output_text.done", **told)
                yield self._event("response.content_part.done", content_index=0, part=self._part)
        item["status"] = status
        yield self._event("response.output_item.done", item=item)
        self._item = None

    @property
    def _part(self) -> dict[str, Any]:
        assert self._item is not None
        part: dict[str, Any] = self._item["content"][0]
        return part

    def _event(self, type: str, **fields: Any) -> Event:
        """Of the open item, or with it."""
        assert self._item is not None
        named = {} if "item" in fields else {"item_id": self._item["id"]}
        place = {"output_index": len(self.response.output) - 1}
        return self._numbered(type, named | place | fields)

    def _told(self, type: str) -> Event:
        return self._numbered(type, {"response": self.response.model_dump()})

    def _numbered(self, type: str, fields: dict[str, Any]) -> Event:
        event = {"type": type, "sequence_number": self._number, **_copied(fields)}
        self._number += 1
        return event


def _copied(fields: dict[str, Any]) -> dict[str, Any]:
    """As they are now: items and parts go on growing."""
    return {
        key: {k: list(v) if isinstance(v, list) else v for k, v in value.items()}
        if key in {"item", "part"}
        else value
        for key, value in fields.items()
    }


def _thought_part() -> dict[str, Any]:
    return {"type": "reasoning_text", "text": ""}


def _without_bytes(one: Mapping[str, Any]) -> dict[str, Any]:
    top = [{key: other[key] for key in ("token", "logprob")} for other in one["top_logprobs"]]
    return {"token": one["token"], "logprob": one["logprob"], "top_logprobs": top}
