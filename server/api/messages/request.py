"""The bodies of POST /v1/messages and /v1/messages/count_tokens, field by field.

In the three classes of chat_request.py.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.fields import INTEGRAL, Count, ListOf, Refused, ShortString, Unit, Wire
from server.api.tools import ToolName


class CacheableFields(Wire):
    """cache_control is taken without meaning, as all that is read is kept."""

    cache_control: dict[str, Any] | None = None


class TextBlock(CacheableFields):
    """A piece of text, whatever it cites."""

    type: Literal["text"]
    text: str
    citations: list[Any] | None = None


class ThinkingBlock(Wire):
    """What the model thought; the models here know it from their state, or not at all."""

    type: Literal["thinking", "redacted_thinking"]
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class ToolUseBlock(CacheableFields):
    """A call that an assistant made."""

    type: Literal["tool_use"]
    id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    input: dict[str, Any]
    caller: Annotated[Any, Refused(neutral=({"type": "direct"},))] = None
    toolset_name: Annotated[Any, Refused()] = None


class ToolResultBlock(CacheableFields):
    """What a call came to."""

    type: Literal["tool_result"]
    toolset_name: Annotated[Any, Refused()] = None
    tool_use_id: str
    content: str | ListOf[TextBlock] | None = None
    is_error: bool | None = None

    @property
    def text(self) -> str:
        said = self.content or ""
        text = said if isinstance(said, str) else "\n".join(block.text for block in said)
        return f"Error: {text}" if self.is_error else text


Block = Annotated[
    TextBlock | ThinkingBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")
]


class AnthropicMessage(Wire):
    """One message."""

    role: Literal["user", "assistant", "system"]
    content: str | ListOf[Block]
    clear_at: Annotated[Any, Refused(neutral=("never",))] = None
    output_config: Annotated[Any, Refused(neutral=({},))] = None


class AnthropicTool(CacheableFields):
    """A tool of the caller's; those that Anthropic runs itself are refused by name."""

    type: Annotated[Any, Refused(neutral=("custom",))] = None
    name: ToolName
    description: str | None = None
    input_schema: dict[str, Any]
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    allowed_callers: Annotated[Any, Refused(neutral=(["direct"],))] = None
    defer_loading: Annotated[Any, Refused(neutral=(False,))] = None
    input_examples: Annotated[Any, Refused(neutral=([],))] = None


class AnthropicChoice(Wire):
    """Whether tools are called, and with `tool` which one."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingOptions(Wire):
    """budget_tokens: how much is to be thought, as a target and no limit.

    block_binding has no meaning, since thoughts that are sent back are not read.
    """

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int, Field(ge=1024), INTEGRAL] | None = None
    display: Annotated[Any, Refused(neutral=("summarized",))] = None
    block_binding: dict[str, Any] | None = None


class OutputSchema(Wire):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    definition: dict[str, Any] = Field(alias="schema")


class OutputOptions(Wire):
    """What the answer has to be, and how much is thought about it."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputSchema | None = None
    task_budget: Annotated[Any, Refused()] = None


class AnthropicMetadata(Wire):
    """Nobody is watched."""

    user_id: str | None = None


class ReadFields(Wire):
    """What the model reads."""

    model: str
    messages: Annotated[ListOf[AnthropicMessage], Field(min_length=1)]
    system: str | ListOf[TextBlock] | None = None
    tools: Annotated[ListOf[AnthropicTool], Field(max_length=128)] | None = None
    tool_choice: AnthropicChoice | None = None
    thinking: ThinkingOptions | None = None
    output_config: OutputOptions | None = None


class HonouredMessagesFields(ReadFields):
    """Fields that do what they say; null stands for the default of each."""

    max_tokens: Count
    stream: bool | None = None
    stop_sequences: Annotated[ListOf[ShortString], Field(max_length=16)] | None = None
    temperature: Unit | None = None
    top_p: Unit | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1), INTEGRAL] | None = None


class MeaninglessMessagesFields(Wire):
    """Fields that official clients send and that change nothing here; their types are checked."""

    metadata: AnthropicMetadata | None = None
    service_tier: str | None = None
    cache_control: dict[str, Any] | None = None
    inference_geo: str | None = None
    speed: Literal["standard", "fast"] | None = None
    diagnostics: dict[str, Any] | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None
    fallbacks: list[Any] | str | None = None
    fallback_credit_token: str | dict[str, Any] | None = None
    billing_policy: dict[str, Any] | None = None


class RefusedMessagesFields(Wire):
    """Fields that would change the answer and cannot be honoured."""

    container: Annotated[Any, Refused()] = None
    mcp_servers: Annotated[Any, Refused(neutral=([],))] = None
    context_management: Annotated[Any, Refused()] = None
    compaction: Annotated[Any, Refused()] = None
    thread: Annotated[Any, Refused()] = None
    output_format: Annotated[Any, Refused()] = None


class MessagesBody(RefusedMessagesFields, MeaninglessMessagesFields, HonouredMessagesFields):
    """A request for a message."""


class CountTokensBody(RefusedMessagesFields, MeaninglessMessagesFields, ReadFields):
    """A message whose tokens are to be counted."""
