"""The body of POST /v1/chat/completions, field by field.

What can be honoured, what is taken without meaning, and what is refused by name stand in three
classes; docs/api.md has a table for each.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from server.api.chat.message import ChatMessage
from server.api.constraint import ConstraintFields
from server.api.fields import INTEGRAL, Count, ListOf, Refused, Wire
from server.api.going_on import GoingOnFields
from server.api.items import MetadataField
from server.api.priority import Priority
from server.api.repeated import CHAT_MESSAGES
from server.api.sampling import RefusedSamplingFields, SamplingFields
from server.api.tools.chat import ToolFields


class TemplateOptions(Wire):
    """Variables of the chat template; only the one that asks for thinking or none is known."""

    __pydantic_extra__: dict[str, Annotated[Any, Refused()]] = Field(init=False)
    model_config = ConfigDict(extra="allow")

    enable_thinking: bool | None = None


class ThinkingFields(Wire):
    """What says how much the model is to think."""

    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    chat_template_kwargs: TemplateOptions | None = None


class HonouredFields(ThinkingFields, GoingOnFields, ToolFields, ConstraintFields, SamplingFields):
    """Fields that do what they say; null stands for the default of each."""

    model: str
    messages: Annotated[ListOf[ChatMessage], Field(min_length=1), CHAT_MESSAGES]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), INTEGRAL] | None = None
    store: bool | None = None
    metadata: MetadataField | None = None
    previous_response_id: str | None = None
    conversation: str | None = None
    priority: Priority | None = None
    echo: bool | None = None


class MeaninglessFields(Wire):
    """Fields that official clients send and that change nothing here; their types are checked."""

    user: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    safety_identifier: str | None = None
    prediction: dict[str, Any] | None = None


class RefusedFields(RefusedSamplingFields):
    """Fields that would change the answer and cannot be honoured, beside their neutral values."""

    modalities: Annotated[Any, Refused(neutral=(["text"],))] = None
    audio: Annotated[Any, Refused()] = None
    verbosity: Annotated[Any, Refused(neutral=("medium",))] = None
    web_search_options: Annotated[Any, Refused()] = None
    moderation: Annotated[Any, Refused()] = None
    best_of: Annotated[Any, Refused(neutral=(1,))] = None
    chat_template: Annotated[Any, Refused()] = None
    documents: Annotated[Any, Refused(neutral=([],))] = None
    reasoning: Annotated[Any, Refused(neutral=({},))] = None


class ChatCompletionRequest(RefusedFields, MeaninglessFields, HonouredFields):
    """A chat completion request."""
