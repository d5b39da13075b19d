"""What a conversation said, kept beside the snapshot of each of its answers.

A key names messages and cannot be read back. So that a session can be shown, forked, and named
again for another caller on another server, its messages and tools lie in the snapshot as lines of
JSON, under the same encryption, budget and age as the state. The tools come first, then a line for
each message, so what goes on from a conversation only adds lines, and shares the others in memory.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked
from pydantic_core import to_json

from server.chat.path import Path
from server.chat.served import ServedModel
from server.chat.tools import toolbox
from server.chat.types import Message, Role, Tool, ToolCall, ToolChoice
from server.engine.snapshot import NO_LINES, Lines
from server.session import PATH_STEP, Key, conversation_key, extend

_VERSION = 2
_FIRST = b'{"version":1,'  # of the one line that earlier releases wrote


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

    def dump(self, past: Lines = NO_LINES) -> Lines:
        """Shares what it goes on from, where that is how it begins."""
        head = {"version": _VERSION, "tools": list(map(_tool, self.tools))}
        lines = [to_json(head), *(to_json(m, exclude_none=True) for m in self.messages)]
        data, known = b"\n".join([*lines, b""]), past.to_bytes()
        return past.then(data[len(known) :]) if data.startswith(known) else NO_LINES.then(data)


def _tool(tool: Tool) -> dict[str, Any]:
    """As the model was told of it, which says nothing of how its calls are held to a form."""
    names = ("name", "description", "parameters", "strict", "param")
    return {name: getattr(tool, name) for name in names}


def load_told(lines: Lines) -> Told:
    """Takes nothing on trust. Raises ToldError."""
    try:
        given = _ADAPTER.validate_json(_whole(lines.to_bytes()))
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


def _whole(data: bytes) -> bytes:
    """The lines as one document."""
    if data.startswith(_FIRST):
        return data
    head, *messages = data.rstrip().split(b"\n")
    return b'{"messages":[' + b",".join(messages) + b"]," + head[1:]


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
    version: Annotated[int, Field(ge=1, le=_VERSION)]
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


def paths(model: ServedModel, owner: str, messages: Sequence[Message]) -> Sequence[Path]:
    """Of the conversation without messages, then up to the end of each."""
    root = Path(extend(conversation_key(model.fingerprint, owner), "session", ""))

    def made(begun: Sequence[Path]) -> Sequence[Path]:
        found = list(begun)
        for message in messages[len(begun) :]:
            before = found[-1] if found else root
            found.append(before.then(*model.template.canonical(message)))
        return found

    return [root, *model.paths.made(root.name, tuple(messages), made)]


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
    return paths(model, owner, told.messages)[-1].whole


def answer_key(model: ServedModel, owner: str, told: Told) -> Key:
    """The name that a follow-up finds the state at the end of these messages by.

    Raises InvalidRequest for messages that the template has no form for.
    """
    tools = toolbox(told.tools, ToolChoice())
    layout = model.lay_out(owner, told.messages[:-1], toolbox=tools)
    return extend(layout.key, *model.template.canonical(told.messages[-1]))
