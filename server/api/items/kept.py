"""Items as they are kept and given back: JSON in the form of OpenAI's SDK."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from server.api.items.fields import (
    CustomCallItem,
    CustomOutputItem,
    FunctionCallItem,
    FunctionOutputItem,
    InputItem,
    ItemRefusal,
    ItemText,
    MessageItem,
    ReasoningItem,
    ReferenceItem,
)
from server.chat.tools import input_text
from server.chat.types import Message, ToolCall

Item = dict[str, Any]
_Name = Callable[[str, int], str]
_Parts = Sequence[Mapping[str, Any]]


def kept_items(
    given: str | Sequence[InputItem], name: _Name, referred: Mapping[str, Item]
) -> list[Item]:
    """name: makes an id of an item's type and place. referred: items that are only named."""
    if isinstance(given, str):
        given = [MessageItem(role="user", content=given)]
    return [_kept(item, name, number, referred) for number, item in enumerate(given)]


def _kept(item: InputItem, name: _Name, number: int, referred: Mapping[str, Item]) -> Item:
    match item:
        case MessageItem():
            content = _content(item)
            return _item(name, number, "message", role=item.role, content=content)
        case FunctionCallItem() | CustomCallItem():
            said = item.model_dump(include={"call_id", "name", "arguments", "input"})
            return _item(name, number, item.type, **said)
        case FunctionOutputItem() | CustomOutputItem():
            output: str | list[dict[str, Any]]
            if isinstance(item.output, str):
                output = item.output
            else:
                output = [_input_text(part.text) for part in item.output]
            return _item(name, number, item.type, call_id=item.call_id, output=output)
        case ReasoningItem():
            return _item(name, number, "reasoning", **_thoughts(item.summary, item.content))
        case ReferenceItem():
            return referred[item.id]
    raise AssertionError(item)  # other types are refused before


def _item(made: _Name, number: int, kind: str, /, **fields: Any) -> Item:
    return {"id": made(kind, number), "type": kind, "status": "completed", **fields}


def _content(item: MessageItem) -> list[dict[str, Any]]:
    parts: Sequence[ItemText | ItemRefusal]
    if isinstance(item.content, str):
        parts = [ItemText(type="text", text=item.content)]
    else:
        parts = item.content
    write = output_text if item.role == "assistant" else _input_text
    return [write(part.text) for part in parts]


def output_text(text: str, logprobs: Sequence[Any] = ()) -> dict[str, Any]:
    """A part of an assistant's message."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(logprobs)}


def _input_text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _thoughts(summary: _Parts | None, content: _Parts | None) -> dict[str, Any]:
    """Of parts that nobody reads, those that are text."""
    return {
        "summary": [{"type": "summary_text", "text": text} for text in _texts(summary)],
        "content": [{"type": "reasoning_text", "text": text} for text in _texts(content)],
    }


def _texts(parts: _Parts | None) -> list[str]:
    texts = [part.get("text") for part in parts or ()]
    return [text for text in texts if isinstance(text, str)]


def in_form(item: Item) -> Item:
    """An item as it is kept now: releases before kept parts of thoughts in any shape."""
    if item["type"] != "reasoning":
        return item
    return {**item, **_thoughts(item["summary"], item["content"])}


def message_items(messages: Iterable[Message], name: _Name) -> list[Item]:
    """A chat's messages as items."""
    items: list[Item] = []
    custom: set[str | None] = set()  # ids of calls of custom tools
    for message in messages:
        custom |= {call.id for call in message.tool_calls if call.custom}
        if message.role == "tool":
            kind = "custom_tool_call" if message.tool_call_id in custom else "function_call"
            result = {"call_id": message.tool_call_id, "output": message.content}
            items.append(_item(name, len(items), f"{kind}_output", **result))
            continue
        if message.content or not message.tool_calls:
            write = output_text if message.role == "assistant" else _input_text
            said = {"role": message.role, "content": [write(message.content)]}
            items.append(_item(name, len(items), "message", **said))
        for call in message.tool_calls:
            kind, made = _made(call)
            items.append(_item(name, len(items), kind, call_id=call.id, name=call.name, **made))
    return items


def _made(call: ToolCall) -> tuple[str, dict[str, str]]:
    if call.custom:
        return "custom_tool_call", {"input": input_text(call.arguments)}
    return "function_call", {"arguments": call.arguments}
