"""The chunks of a chat completion's stream, as the OpenAPI document has them.

ChunkWriter writes them without these types, which cost time; tests hold it to them.
"""

from typing import Annotated, Literal

from pydantic import Field

from server.api.chat.answer import WireReason
from server.api.chat.calls import CustomCall, FunctionCall
from server.api.chat.usage import Usage
from server.api.errors import ErrorDetail
from server.api.logprobs import ChatLogprobs
from server.api.outgoing import LEFT_OUT, OPTIONAL, ClosedModel, JsonOf

DONE = Literal["[DONE]"]


class MoreArguments(ClosedModel):
    """More of a call that has begun."""

    arguments: str


class MoreInput(ClosedModel):
    """More of a custom call that has begun."""

    input: str


class OfCall(ClosedModel):
    """index: the call's place among those of its message."""

    index: int


class BegunFunctionCall(OfCall):
    """A call begins."""

    id: str
    type: Literal["function"]
    function: FunctionCall


class FunctionCallMore(OfCall):
    """A call goes on."""

    function: MoreArguments


class BegunCustomCall(OfCall):
    """A call of a custom tool begins."""

    id: str
    type: Literal["custom"]
    custom: CustomCall


class CustomCallMore(OfCall):
    """A call of a custom tool goes on."""

    custom: MoreInput


ChunkCall = BegunFunctionCall | FunctionCallMore | BegunCustomCall | CustomCallMore


class OpeningDelta(ClosedModel):
    """The first of each choice."""

    role: Literal["assistant"]
    content: Literal[""]
    refusal: None


class ContentDelta(ClosedModel):
    """More of the text."""

    content: str


class ThoughtDelta(ClosedModel):
    """More of what is thought before it."""

    reasoning_content: str


class CallsDelta(ClosedModel):
    """A call that begins or goes on."""

    tool_calls: Annotated[list[ChunkCall], Field(min_length=1, max_length=1)]


class FunctionCallDelta(ClosedModel):
    """The same in the older form."""

    function_call: FunctionCall | MoreArguments


class LastDelta(ClosedModel):
    """Nothing more."""


class ChunkChoice(ClosedModel):
    """More of one of the answers; its last chunk has finish_reason, and token_ids if asked for."""

    index: int
    delta: OpeningDelta | ContentDelta | ThoughtDelta | CallsDelta | FunctionCallDelta | LastDelta
    logprobs: ChatLogprobs | None
    finish_reason: WireReason | None
    token_ids: Annotated[list[int] | None, LEFT_OUT] = None


class ChatChunk(ClosedModel):
    """A piece of a chat completion.

    usage: where it was asked for, null but in the last chunk, which has no choices.
    prompt_token_ids: in the first chunk, where they were asked for.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    service_tier: Literal["default"]
    system_fingerprint: str
    usage: Annotated[Usage | None, OPTIONAL] = None
    prompt_token_ids: Annotated[list[int] | None, LEFT_OUT] = None


class StreamErrorDetail(ErrorDetail):
    """What went wrong with an answer that had begun: no field of the request."""

    param: None


class StreamError(ClosedModel):
    """The end of an answer that failed on the way."""

    error: StreamErrorDetail


class UnnamedEvent(ClosedModel):
    """An event without a name, which by the specification of such streams is `message`."""

    event: Annotated[Literal["message"], OPTIONAL] = "message"


class ChatStream(UnnamedEvent):
    """An event of a chat completion's stream; an error is the last one, as else is `[DONE]`."""

    data: DONE | Annotated[str, JsonOf(ChatChunk | StreamError)]
