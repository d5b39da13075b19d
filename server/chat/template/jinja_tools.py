"""Tools in the values that Jinja templates know, and the form in which a template writes calls."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from server.chat.template.base import plain
from server.chat.tools import CallForm, canonical_arguments, parsed_arguments
from server.chat.types import Message, Tool

Render = Callable[..., str]

_NAME, _ARGUMENTS = "probe_function", {"probe_argument": "probe value"}
_TOOL = Tool(_NAME, "A probe.", {"type": "object", "properties": {}})
_BODY = json.dumps({"name": _NAME, "arguments": _ARGUMENTS})
_THOUGHT_END = "</think>"


@dataclass(frozen=True, slots=True)
class JinjaCalls:
    """as_text: the template takes a call's arguments as a string, not as an object."""

    form: CallForm
    as_text: bool = False


def find_calls(render: Render) -> JinjaCalls | None:
    """By rendering a call. render(messages, tools, opened=…) may raise anything.

    None for a template that lists no tools, that writes calls in another form than `CallForm`'s,
    or without marks around them.
    """
    for as_text in (False, True):
        form = _probed(render, as_text)
        if form is not None:
            return JinjaCalls(form, as_text)
    return None


def _probed(render: Render, as_text: bool) -> CallForm | None:
    question = {"role": "user", "content": "A question?"}
    arguments: Any = json.dumps(_ARGUMENTS) if as_text else _ARGUMENTS
    answer = {"role": "assistant", "content": "", "tool_calls": [_call("call_1", arguments)]}
    try:
        asked = render([question], wire_tools([_TOOL]), opened=True)
        called = render([question, answer], wire_tools([_TOOL]), opened=False)
        said = render([question, {"role": "assistant", "content": "Words."}], None, opened=False)
    except Exception:  # it may know nothing of tools
        return None
    if _NAME not in asked or not called.startswith(asked):
        return None
    before, found, after = called[len(asked) :].partition(_BODY)
    before = before.rpartition(_THOUGHT_END)[2].lstrip()
    after = after.removesuffix(said.rpartition("Words.")[2])
    return CallForm(before, after) if found and before.strip() and after.strip() else None


def wire_tools(tools: Sequence[Tool]) -> list[dict[str, Any]] | None:
    """As a request has them."""
    return [_wire_tool(tool) for tool in tools] or None


def wire_messages(messages: Sequence[Message], calls: JinjaCalls | None) -> list[dict[str, Any]]:
    """As transformers hands them to a template, contents in canonical form."""
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return [_wire_message(message, names, calls) for message in messages]


def _wire_message(
    message: Message, names: dict[str, str], calls: JinjaCalls | None
) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": plain(message.content)}
    if message.tool_calls and calls is not None:
        wire["tool_calls"] = [
            _call(call.id, _arguments(call.arguments, calls), call.name)
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
        wire["name"] = names.get(message.tool_call_id, "")
    return wire


def _arguments(text: str, calls: JinjaCalls) -> Any:
    canonical = canonical_arguments(text)
    value = parsed_arguments(canonical)
    return canonical if calls.as_text or value is None else value


def _call(id: str, arguments: Any, name: str = _NAME) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _wire_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "description": tool.description}
    function["parameters"] = dict(tool.parameters or {"type": "object", "properties": {}})
    return {"type": "function", "function": function}
