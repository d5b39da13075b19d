"""The events of a response's stream, as the OpenAPI document has them.

ResponseWriter writes them without these types, which cost time; tests hold it to them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.items.types import OutputItem, OutputText, ReasoningText
from server.api.outgoing import ClosedModel, JsonOf
from server.api.responses.answer import Response

Nothing = Annotated[list[Any], Field(max_length=0)]


class Numbered(ClosedModel):
    """sequence_number: of the event in its stream, from 0."""

    sequence_number: int


class OfResponse(Numbered):
    """response: as it is now."""

    response: Response


class ResponseCreated(OfResponse):
    """The first event."""

    type: Literal["response.created"]


class ResponseQueued(OfResponse):
    """It waits for a slot."""

    type: Literal["response.queued"]


class ResponseInProgress(OfResponse):
    """It is being answered."""

    type: Literal["response.in_progress"]


class ResponseCompleted(OfResponse):
    """The last event of a whole answer."""

    type: Literal["response.completed"]


class ResponseIncomplete(OfResponse):
    """The last event of an answer that was cut, or cancelled."""

    type: Literal["response.incomplete"]


class ResponseFailed(OfResponse):
    """The last event where there is no answer."""

    type: Literal["response.failed"]


class OfOutput(Numbered):
    """output_index: the item's place in the output."""

    output_index: int


class OpenItem(ClosedModel):
    """An item of which nothing is written yet."""

    id: str
    status: Literal["in_progress"]


class OpenAnswer(OpenItem):
    """A message."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: Nothing


class OpenFunctionCall(OpenItem):
    """A call."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: Literal[""]


class OpenCustomCall(OpenItem):
    """A call of a custom tool."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: Literal[""]


class OpenThoughts(OpenItem):
    """Thoughts."""

    type: Literal["reasoning"]
    summary: Nothing
    content: Nothing


class OutputItemAdded(OfOutput):
    """An item begins."""

    type: Literal["response.output_item.added"]
    item: Annotated[
        OpenAnswer | OpenFunctionCall | OpenCustomCall | OpenThoughts, Field(discriminator="type")
    ]


class OutputItemDone(OfOutput):
    """It is at its end."""

    type: Literal["response.output_item.done"]
    item: OutputItem


class OfItem(OfOutput):
    """item_id: of an item that has begun."""

    item_id: str


class OfPart(OfItem):
    """content_index: the part's place in its item."""

    content_index: int


Part = Annotated[OutputText | ReasoningText, Field(discriminator="type")]


class ContentPartAdded(OfPart):
    """A part begins."""

    type: Literal["response.content_part.added"]
    part: Part


class ContentPartDone(OfPart):
    """It is at its end."""

    type: Literal["response.content_part.done"]
    part: Part


class TokenLikelihood(ClosedModel):
    """A token, and the natural logarithm of its probability."""

    token: str
    logprob: float


class TextToken(TokenLikelihood):
    """A token of the text, beside the likeliest ones at its place."""

    top_logprobs: list[TokenLikelihood]


class OutputTextDelta(OfPart):
    """More of a text."""

    type: Literal["response.output_text.delta"]
    delta: str
    logprobs: list[TextToken]


class OutputTextDone(OfPart):
    """All of it."""

    type: Literal["response.output_text.done"]
    text: str
    logprobs: list[TextToken]


class ReasoningTextDelta(OfPart):
    """More of a thought."""

    type: Literal["response.reasoning_text.delta"]
    delta: str


class ReasoningTextDone(OfPart):
    """All of it."""

    type: Literal["response.reasoning_text.done"]
    text: str


class FunctionArgumentsDelta(OfItem):
    """More of a call's arguments."""

    type: Literal["response.function_call_arguments.delta"]
    delta: str


class FunctionArgumentsDone(OfItem):
    """All of them."""

    type: Literal["response.function_call_arguments.done"]
    name: str
    arguments: str


class CustomInputDelta(OfItem):
    """More of a custom call's text."""

    type: Literal["response.custom_tool_call_input.delta"]
    delta: str


class CustomInputDone(OfItem):
    """All of it."""

    type: Literal["response.custom_tool_call_input.done"]
    input: str


ResponseEvent = Annotated[
    ResponseCreated
    | ResponseQueued
    | ResponseInProgress
    | ResponseCompleted
    | ResponseIncomplete
    | ResponseFailed
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | FunctionArgumentsDelta
    | FunctionArgumentsDone
    | CustomInputDelta
    | CustomInputDone,
    Field(discriminator="type"),
]


class ResponseStream(ClosedModel):
    """An event of a response's stream; event: the type that its data has."""

    event: str
    data: Annotated[str, JsonOf(ResponseEvent)]
