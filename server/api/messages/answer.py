"""A message on the wire, as Anthropic's SDK types it."""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.outgoing import NEVER_NULL, ClosedModel, ToldAs

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
# Thoughts are not read when they come back, so that none is vouched for.
UNSIGNED: Literal["unsigned"] = "unsigned"


class ThinkingDetails(ClosedModel):
    """thinking_tokens of the tokens are thoughts."""

    thinking_tokens: int = 0


class DeltaUsage(ClosedModel):
    """input_tokens were read anew; cache_read_input_tokens came with a kept state."""

    input_tokens: int
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int
    output_tokens: int = 0
    output_tokens_details: ThinkingDetails = ThinkingDetails()


class MessageUsage(DeltaUsage):
    """The same in a message."""

    service_tier: Literal["standard"] = "standard"


class ToldTextBlock(ClosedModel):
    """Text."""

    type: Literal["text"]
    text: str


class ToldThinkingBlock(ClosedModel):
    """Thoughts."""

    type: Literal["thinking"]
    thinking: str
    signature: Literal["unsigned"]


class ToldToolUse(ClosedModel):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


ToldBlock = Annotated[ToldTextBlock | ToldThinkingBlock | ToldToolUse, Field(discriminator="type")]


class AnthropicAnswer(ClosedModel):
    """A message of the model's."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: list[Annotated[dict[str, Any], ToldAs(ToldBlock)]] = Field(default_factory=list)
    stop_reason: Annotated[StopReason | None, NEVER_NULL] = None
    stop_sequence: str | None = None
    usage: MessageUsage


class AnthropicErrorDetail(ClosedModel):
    """What went wrong."""

    type: str
    message: str


class AnthropicErrorBody(ClosedModel):
    """The body of every answer that is not a success, as server.api.dialects makes it."""

    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str
