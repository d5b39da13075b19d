"""Calls of a chat completion on the wire, which grow while they are written."""

from typing import Literal

from pydantic import BaseModel

from server.chat.tools import input_arguments
from server.chat.types import ToolCall, ToolCallDelta


class FunctionCall(BaseModel):
    """arguments: JSON as a string."""

    name: str
    arguments: str


class MessageToolCall(BaseModel):
    """A call that the message makes."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall

    def add(self, written: str) -> None:
        self.function.arguments += written

    @property
    def said(self) -> ToolCall:
        return ToolCall(self.id, self.function.name, self.function.arguments)


class CustomCall(BaseModel):
    """input: any text."""

    name: str
    input: str


class MessageCustomCall(BaseModel):
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


def begun_call(event: ToolCallDelta) -> MessageCall:
    """Of the first delta of a call."""
    id, name = event.id or "", event.name or ""
    if event.custom:
        return MessageCustomCall(id=id, custom=CustomCall(name=name, input=event.arguments))
    return MessageToolCall(id=id, function=FunctionCall(name=name, arguments=event.arguments))
