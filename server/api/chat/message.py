"""The messages of a chat's body, and the conversation they make."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from server.api.fields import ListOf, Refused, Wire
from server.api.tools import CUSTOM, FUNCTION, tool_kind
from server.chat.tools import input_arguments
from server.chat.types import Message, ToolCall
from server.errors import InvalidRequest


class TextPart(Wire):
    """A piece of a message's text; a breakpoint has no meaning, as all that is read is kept."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: dict[str, Any] | None = None


class RefusalPart(Wire):
    """What another model said in place of an answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


def _part_kind(value: Any) -> str:
    """Whatever is no refusal is checked as text, and so refused as none."""
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return "a refusal" if kind == "refusal" else "a text"


Part = Annotated[
    Annotated[TextPart, Tag("a text")] | Annotated[RefusalPart, Tag("a refusal")],
    Discriminator(_part_kind),
]


class CalledFunction(Wire):
    """A call, its arguments as JSON in a string."""

    name: Annotated[str, Field(min_length=1)]
    arguments: str


class ToolCallField(Wire):
    """A call that an assistant's message made."""

    id: Annotated[str, Field(min_length=1)]
    type: Literal["function"]
    function: CalledFunction

    @property
    def said(self) -> ToolCall:
        return ToolCall(self.id, self.function.name, self.function.arguments)


class CalledCustom(Wire):
    """A call with a text."""

    name: Annotated[str, Field(min_length=1)]
    input: str


class CustomCallField(Wire):
    """A call of a custom tool that an assistant's message made."""

    id: Annotated[str, Field(min_length=1)]
    type: Literal["custom"]
    custom: CalledCustom

    @property
    def said(self) -> ToolCall:
        arguments = input_arguments(self.custom.input)
        return ToolCall(self.id, self.custom.name, arguments, custom=True)


class ChatMessage(Wire):
    """One message; `name` has a meaning only where it says whose result a message is."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | Annotated[ListOf[Part], Field(min_length=1)] | None = None
    refusal: str | None = None
    tool_calls: (
        ListOf[
            Annotated[
                Annotated[ToolCallField, Tag(FUNCTION)] | Annotated[CustomCallField, Tag(CUSTOM)],
                Discriminator(tool_kind),
            ]
        ]
        | None
    ) = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    audio: Annotated[Any, Refused()] = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The content as one string, parts joined by a line feed; a refusal in its place."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or (self.refusal if self.refuses else None) or ""

    @property
    def refuses(self) -> bool:
        """Another model has refused to answer."""
        return self.role == "assistant" and self.refusal is not None and not self.content

    @property
    def calls(self) -> bool:
        return bool(self.tool_calls) or self.function_call is not None

    @cached_property
    def plain(self) -> Message | None:
        """The message, if that needs none of those before it; made once, as it is often sent."""
        if self.calls or (self.content is None and not self.refuses):
            return None
        match self.role:
            case "tool" | "function":
                return None
            case "developer":
                return Message("system", self.text)
            case role:
                return Message(role, self.text)


class Conversation:
    """Reads messages in their order; a result has to belong to a call before it."""

    def __init__(self, before: Sequence[Message] = ()) -> None:
        self._messages: list[Message] = []
        self._ids = {call.id for message in before for call in message.tool_calls}
        self._functions: dict[str, str] = {}  # the older form's calls: ids by names

    def read(self, messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
        """Raises InvalidRequest, naming the message at fault."""
        for number, message in enumerate(messages):
            self._messages.append(message.plain or self._read(message, f"messages.{number}"))
        return tuple(self._messages)

    def _read(self, message: ChatMessage, place: str) -> Message:
        """One that is not plain."""
        _check_content(message, place)
        match message.role:
            case "tool":
                return Message("tool", message.text, tool_call_id=self._id(message, place))
            case "function":
                return Message("tool", message.text, tool_call_id=self._function(message, place))
            case "assistant":
                return Message("assistant", message.text, self._calls(message, place))
        param = f"{place}.{'tool_calls' if message.tool_calls else 'function_call'}"
        raise _fault(param, f"only an assistant calls anything, not the role {message.role}")

    def _calls(self, message: ChatMessage, place: str) -> tuple[ToolCall, ...]:
        calls = [call.said for call in message.tool_calls or ()]
        if (function := message.function_call) is not None:
            id = f"function_{place}"
            calls.append(ToolCall(id, function.name, function.arguments))
            self._functions[function.name] = id
        if len({call.id for call in calls}) < len(calls):
            raise _fault(f"{place}.tool_calls", "two of the calls have the same id")
        self._ids |= {call.id for call in calls}
        return tuple(calls)

    def _id(self, message: ChatMessage, place: str) -> str:
        """The call that a tool's message answers."""
        id, param = message.tool_call_id, f"{place}.tool_call_id"
        if id is None:
            message_ = f"{param} is required: it says which call this is the result of."
            raise InvalidRequest(message_, param=param, code="missing_parameter")
        if id not in self._ids:
            raise _fault(param, f"no assistant's message before it has a call {id[:64]!r}")
        return id

    def _function(self, message: ChatMessage, place: str) -> str:
        name, param = message.name, f"{place}.name"
        if name is None:
            message_ = f"{param} is required: it says which function this is the result of."
            raise InvalidRequest(message_, param=param, code="missing_parameter")
        if name not in self._functions:
            raise _fault(param, f"no assistant's message before it calls {name[:64]!r}")
        return self._functions[name]


def conversation(
    messages: Sequence[ChatMessage], before: Sequence[Message] = ()
) -> tuple[Message, ...]:
    """The messages as templates know them; before: what they go on from. Raises InvalidRequest."""
    return Conversation(before).read(messages)


def _check_content(message: ChatMessage, place: str) -> None:
    """Only an assistant's message that calls, or refuses, may leave its content out."""
    without = message.refuses or (message.role == "assistant" and message.calls)
    if message.content is not None or without:
        return
    param = f"{place}.content"
    if "content" not in message.model_fields_set:
        raise InvalidRequest(f"{param} is required.", param=param, code="missing_parameter")
    wanted = f"{param} must be a string or a list of text parts, but is null."
    raise InvalidRequest(wanted, param=param, code="invalid_type")


def _fault(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {message}", param=param, code="invalid_value")
