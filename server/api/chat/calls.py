"""Calls of a chat completion on the wire, which grow while they are written."""

from typing import Literal

from server.api.outgoing import ClosedModel
from server.chat.tools import input_arguments, input_text
from server.chat.types import ToolCall, ToolCallDelta


class FunctionCall(ClosedModel):
    """arguments: JSON as a string."""

    name: str
    arguments: str


class MessageToolCall(ClosedModel):
    """A call that the message makes."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall

    def add(self, written: str) -> None:
        self.function.arguments += written

    @property
    def said(self) -> ToolCall:
        return ToolCall(self.id, self.function.name, self.function.arguments)


class CustomCall(ClosedModel):
    """input: any text."""

    name: str
    input: str


class MessageCustomCall(ClosedModel):
    """A call of a custom tool."""

    id: str
    type: Literal["custom"] = "custom"
    custom: CustomCall

    def add(self, written: str) -> None:
        self.custom.input += written

    @property
    def said(self) -> ToolCall:
        arguments = input_arguments(self.custom.input)
        return ToolCall(self.id, self.custom.name, arguments, custom=True)


MessageCall = MessageToolCall | MessageCustomCall


def told_call(call: ToolCall) -> MessageCall:
    """A call as it was said."""
    if call.custom:
        said = CustomCall(name=call.name, input=input_text(call.arguments))
        return MessageCustomCall(id=call.id, custom=said)
    return MessageToolCall(
        id=call.id, function=FunctionCall(name=call.name, arguments=call.arguments)
    )


def begun_call(event: ToolCallDelta) -> MessageCall:
    """Of the first delta of a call."""
    id, name = event.id or "", event.name or ""
    if event.custom:
        return MessageCustomCall(id=id, custom=CustomCall(name=name, input=event.arguments))
    return MessageToolCall(id=id, function=FunctionCall(name=name, arguments=event.arguments))
