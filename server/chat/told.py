"""What a conversation said, kept beside the snapshot of each of its answers.

A key names messages and cannot be read back. So that a session can be shown, forked, and named
again for another caller on another server, its messages and tools lie in the snapshot as JSON,
under the same encryption, budget and age as the state.
"""

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate, pairwise
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from server.chat.served import ServedModel
from server.chat.tools import toolbox
from server.chat.types import Message, Role, Tool, ToolCall, ToolChoice
from server.session import PATH_STEP, Key, conversation_key, extend

_VERSION = 1


class ToldError(ValueError):
    """Bytes that are no told conversation."""


@dataclass(frozen=True, slots=True)
class Told:
    """Messages, and the tools that the model was told of before them."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()

    def then(self, message: Message) -> "Told":
        return Told((*self.messages, message), self.tools)

    def up_to(self, length: int) -> "Told":
        """To the end of a path of so many bytes."""
        count = bisect_left(path_steps(self.messages), length // PATH_STEP) + 1
        return Told(self.messages[:count], self.tools)

    def dump(self) -> bytes:
        messages = [_message(message) for message in self.messages]
        tools = [_tool(tool) for tool in self.tools]
        told = {"version": _VERSION, "messages": messages, "tools": tools}
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _message(message: Message) -> dict[str, Any]:
    told = {name: value for name, value in asdict(message).items() if value not in (None, ())}
    for call in told.get("tool_calls", ()):
        if not call["custom"]:
            del call["custom"]
    return told


def _tool(tool: Tool) -> dict[str, Any]:
    """As the model was told of it, which says nothing of how its calls are held to a form."""
    names = ("name", "description", "parameters", "strict", "param")
    return {name: getattr(tool, name) for name in names}


def load_told(data: bytes) -> Told:
    """Takes nothing on trust. Raises ToldError."""
    try:
        given = _ADAPTER.validate_json(data)
    except ValidationError as error:
        raise ToldError("its messages are not in the form that this version writes") from error
    calls: set[str] = set()
    for message in given.messages:
        calls |= {call.id for call in message.tool_calls}
        if (message.role == "tool") != (message.tool_call_id is not None):
            raise ToldError("a result of a tool names no call, or something else does")
        if message.tool_call_id is not None and message.tool_call_id not in calls:
            raise ToldError("a result of a tool has no call before it")
        if message.tool_calls and message.role != "assistant":
            raise ToldError("a message that is no answer has calls")
    return Told(tuple(map(_read_message, given.messages)), tuple(map(_read_tool, given.tools)))


_STRICT = ConfigDict(strict=True, extra="forbid")


@checked(frozen=True, config=_STRICT)
class _Call:
    id: str
    name: str
    arguments: str
    custom: bool = False


@checked(frozen=True, config=_STRICT)
class _Message:
    role: Role
    content: str
    tool_calls: Annotated[list[_Call], Field(max_length=128)] = Field(default_factory=list)
    tool_call_id: str | None = None


@checked(frozen=True, config=_STRICT)
class _Tool:
    name: str
    description: str
    parameters: Mapping[str, Any] | None
    strict: bool
    param: str


@checked(frozen=True, config=_STRICT)
class _Told:
    version: Annotated[int, Field(ge=_VERSION, le=_VERSION)]
    messages: Annotated[list[_Message], Field(min_length=1)]
    tools: Annotated[list[_Tool], Field(max_length=128)]


_ADAPTER = TypeAdapter(_Told)


def _read_message(given: _Message) -> Message:
    calls = tuple(
        ToolCall(call.id, call.name, call.arguments, call.custom) for call in given.tool_calls
    )
    return Message(given.role, given.content, calls, given.tool_call_id)


def _read_tool(given: _Tool) -> Tool:
    return Tool(given.name, given.description, given.parameters, given.strict, given.param)


def path_names(model: ServedModel, owner: str, messages: Sequence[Message]) -> list[bytes]:
    """For every message the path up to its end, of whole questions and answers only.

    A question is all that is said between two answers. So a question's path is known at its last
    message, and an answer's likewise.
    """
    name = extend(conversation_key(model.fingerprint, owner), "session", "")
    path, paths = b"", []
    for message, steps in zip(messages, path_steps(messages), strict=True):
        name = extend(name, *model.template.canonical(message))
        if steps * PATH_STEP > len(path):
            path += name[:PATH_STEP]
        paths.append(path)
    return paths


def path_steps(messages: Sequence[Message]) -> list[int]:
    """For every message how many questions and answers are whole at its end."""
    asked, answers = False, []
    for message in messages:
        asked = asked or message.role != "assistant"
        answers.append(asked and message.role == "assistant")
    ends = [one != next for one, next in pairwise(answers)]
    return list(accumulate([*ends, True][: len(answers)]))


def answer_path(model: ServedModel, owner: str, told: Told) -> bytes:
    """Of a conversation that ends in an answer."""
    return path_names(model, owner, told.messages)[-1]


def answer_key(model: ServedModel, owner: str, told: Told) -> Key:
    """The name that a follow-up finds the state at the end of these messages by.

    Raises InvalidRequest for messages that the template has no form for.
    """
    tools = toolbox(told.tools, ToolChoice())
    layout = model.lay_out(owner, told.messages[:-1], toolbox=tools)
    return extend(layout.key, *model.template.canonical(told.messages[-1]))
