"""Items as they go out: what the OpenAPI document says of them.

Items are kept as JSON, and go out as they were kept. Tests hold what is told to these types.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.logprobs import ContentToken
from server.api.outgoing import ClosedModel

ItemStatus = Literal["in_progress", "completed", "incomplete"]
DoneStatus = Literal["completed", "incomplete"]


class OutputText(ClosedModel):
    """Text of an assistant's; there is nothing to be annotated."""

    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)]
    logprobs: list[ContentToken]


class InputText(ClosedModel):
    """Text of anybody else's."""

    type: Literal["input_text"]
    text: str


class ReasoningText(ClosedModel):
    """Thoughts."""

    type: Literal["reasoning_text"]
    text: str


class SummaryText(ClosedModel):
    """A short form of thoughts."""

    type: Literal["summary_text"]
    text: str


class ToldItem(ClosedModel):
    """An item; its id is not that of a call."""

    id: str
    status: ItemStatus


class ToldAnswer(ToldItem):
    """A message of an assistant's."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[OutputText]


class ToldMessage(ToldItem):
    """A message of anybody else's."""

    type: Literal["message"]
    role: Literal["user", "system", "developer"]
    content: list[InputText]


class ToldFunctionCall(ToldItem):
    """A call; arguments: JSON as a string."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class ToldFunctionOutput(ToldItem):
    """What it came to."""

    type: Literal["function_call_output"]
    call_id: str
    output: str | list[InputText]


class ToldCustomCall(ToldItem):
    """A call of a custom tool."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str


class ToldCustomOutput(ToldItem):
    """What it came to."""

    type: Literal["custom_tool_call_output"]
    call_id: str
    output: str | list[InputText]


class ToldThoughts(ToldItem):
    """Thoughts."""

    type: Literal["reasoning"]
    summary: Annotated[list[Any], Field(max_length=0)]
    content: list[ReasoningText]


class SentThoughts(ToldItem):
    """Thoughts, or as much of them as a caller sent."""

    type: Literal["reasoning"]
    summary: list[SummaryText]
    content: list[ReasoningText]


class DoneAnswer(ToldAnswer):
    """A message of the model's."""

    status: DoneStatus


class DoneFunctionCall(ToldFunctionCall):
    """A call of the model's; arguments: JSON as a string."""

    status: DoneStatus


class DoneCustomCall(ToldCustomCall):
    """A call of a custom tool."""

    status: DoneStatus


class DoneThoughts(ToldThoughts):
    """Thoughts of the model's, which come whole and so without a summary."""

    status: DoneStatus


def _without_mapping(schema: dict[str, Any]) -> None:
    """A document's discriminator leads to schemas with names, and to no union in a union."""
    del schema["discriminator"]


# A response is told and kept only before and after its items are written.
OutputItem = Annotated[
    DoneAnswer | DoneFunctionCall | DoneCustomCall | DoneThoughts, Field(discriminator="type")
]
# Of messages the role tells whose they are, below what tells that they are messages.
AnyMessage = Annotated[ToldAnswer | ToldMessage, Field(discriminator="role")]
AnyItem = Annotated[
    AnyMessage
    | ToldFunctionCall
    | ToldFunctionOutput
    | ToldCustomCall
    | ToldCustomOutput
    | SentThoughts,
    Field(discriminator="type", json_schema_extra=_without_mapping),
]
