"""The events of a message's stream, as the OpenAPI document has them.

MessageWriter writes them without these types, which cost time; tests hold it to them.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.messages.answer import (
    AnthropicErrorBody,
    DeltaUsage,
    MessageUsage,
    StopReason,
)
from server.api.outgoing import ClosedModel, JsonOf


class BegunMessage(ClosedModel):
    """A message of which nothing is written yet."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: Annotated[list[Any], Field(max_length=0)]
    stop_reason: None
    stop_sequence: None
    usage: MessageUsage


class MessageStart(ClosedModel):
    """The first event."""

    type: Literal["message_start"]
    message: BegunMessage


class Ping(ClosedModel):
    """Nothing new."""

    type: Literal["ping"]


class OfBlock(ClosedModel):
    """index: the block's place in the message."""

    index: int


class BegunText(ClosedModel):
    """A text, of which nothing is written yet; so with the others."""

    type: Literal["text"]
    text: Literal[""]


class BegunThinking(ClosedModel):
    """A thought."""

    type: Literal["thinking"]
    thinking: Literal[""]
    signature: Literal[""]


class NoInput(ClosedModel):
    """As long as nothing is written."""


class BegunToolUse(ClosedModel):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: NoInput


class BlockStart(OfBlock):
    """A block begins."""

    type: Literal["content_block_start"]
    content_block: Annotated[BegunText | BegunThinking | BegunToolUse, Field(discriminator="type")]


class TextPiece(ClosedModel):
    """More of a text."""

    type: Literal["text_delta"]
    text: str


class ThinkingPiece(ClosedModel):
    """More of a thought."""

    type: Literal["thinking_delta"]
    thinking: str


class SignaturePiece(ClosedModel):
    """The end of a thought."""

    type: Literal["signature_delta"]
    signature: Literal["unsigned"]


class JsonPiece(ClosedModel):
    """More of a call's input."""

    type: Literal["input_json_delta"]
    partial_json: str


class BlockDelta(OfBlock):
    """More of a block."""

    type: Literal["content_block_delta"]
    delta: Annotated[
        TextPiece | ThinkingPiece | SignaturePiece | JsonPiece, Field(discriminator="type")
    ]


class BlockStop(OfBlock):
    """It is at its end."""

    type: Literal["content_block_stop"]


class Stopped(ClosedModel):
    """Why a message is at its end."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(ClosedModel):
    """What is only known at the end of a message."""

    type: Literal["message_delta"]
    delta: Stopped
    usage: DeltaUsage


class MessageStop(ClosedModel):
    """The last event."""

    type: Literal["message_stop"]


MessageEvent = Annotated[
    MessageStart
    | Ping
    | BlockStart
    | BlockDelta
    | BlockStop
    | MessageDelta
    | MessageStop
    | AnthropicErrorBody,
    Field(discriminator="type"),
]


class MessageStream(ClosedModel):
    """An event of a message's stream; event: the type that its data has."""

    event: str
    data: Annotated[str, JsonOf(MessageEvent)]
