"""The body of POST /v1/responses, field by field, in the three classes of chat_request.py."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from server.api.constraint import JsonObjectFormat, Schema, TextFormat
from server.api.fields import INTEGRAL, Count, ListOf, Refused, Wire
from server.api.items import InputItem, MetadataField
from server.api.priority import Priority
from server.api.sampling import SamplingFields
from server.api.tools import FunctionFields, Grammar, ToolName

LOGPROBS = "message.output_text.logprobs"


class CallingFields(Wire):
    """When and by whom a tool is called: by the model, in its answer."""

    type: Literal["function", "custom"]
    deferred: Annotated[Any, Refused(neutral=(False,))] = Field(None, alias="defer_loading")
    asynchronous: Annotated[Any, Refused(neutral=(False,))] = Field(None, alias="async")
    allowed_callers: Annotated[Any, Refused(neutral=(["direct"],))] = None


class ResponseFunction(FunctionFields, CallingFields):
    """A function; what its output is like has no meaning, as that is read as it comes."""

    type: Literal["function"]
    output_schema: dict[str, Any] | None = None


class ResponseGrammar(Grammar):
    """A text of a grammar."""

    type: Literal["grammar"]


class ResponseCustom(CallingFields):
    """A tool that is called with a text, without format with any."""

    type: Literal["custom"]
    name: ToolName
    description: str | None = None
    format: Annotated[TextFormat | ResponseGrammar, Field(discriminator="type")] | None = None

    @property
    def grammar(self) -> tuple[str, Grammar] | None:
        return ("format", self.format) if isinstance(self.format, ResponseGrammar) else None


class OtherTool(Wire):
    """What only other servers can do."""

    type: Annotated[Any, Refused()]


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return kind if kind in ("function", "custom") else "other"


ResponseTool = ResponseFunction | ResponseCustom
AnyTool = Annotated[
    Annotated[ResponseFunction, Tag("function")]
    | Annotated[ResponseCustom, Tag("custom")]
    | Annotated[OtherTool, Tag("other")],
    Discriminator(_kind),
]


class NamedResponseTool(Wire):
    """A tool by its name."""

    type: Literal["function", "custom"]
    name: str


class AllowedResponseTools(Wire):
    """The tools that may be called, and whether one has to be."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[ListOf[NamedResponseTool], Field(min_length=1)]


class SchemaFormat(Wire):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    name: Annotated[str, Field(min_length=1, max_length=256)]
    definition: Schema = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextOptions(Wire):
    """What the text of the answer has to be."""

    format: (
        Annotated[TextFormat | JsonObjectFormat | SchemaFormat, Field(discriminator="type")] | None
    ) = None
    verbosity: Annotated[Any, Refused(neutral=("medium",))] = None


class Reasoning(Wire):
    """How much is thought. Thoughts come whole, so that no summary of them is needed."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Annotated[Any, Refused(neutral=("auto",))] = None
    mode: Annotated[Any, Refused(neutral=("standard",))] = None


class ConversationReference(Wire):
    """A conversation by its id."""

    id: str


class ResponseStreamOptions(Wire):
    """include_obfuscation is taken without meaning: nothing is padded."""

    include_obfuscation: bool | None = None


class PromptFields(Wire):
    """What the answer is given to; the same for counting its tokens."""

    input: str | ListOf[InputItem] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationReference | None = None
    tools: Annotated[ListOf[AnyTool], Field(max_length=128)] | None = None
    tool_choice: (
        Literal["none", "auto", "required"] | NamedResponseTool | AllowedResponseTools | None
    ) = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["disabled", "auto"] | None = None

    @property
    def known_tools(self) -> list[ResponseTool]:
        return [tool for tool in self.tools or () if not isinstance(tool, OtherTool)]

    @property
    def conversation_id(self) -> str | None:
        given = self.conversation
        return given.id if isinstance(given, ConversationReference) else given


class HonouredResponseFields(PromptFields, SamplingFields):
    """Fields that do what they say; null stands for the default of each."""

    model: str
    n: Annotated[Any, Refused(neutral=(1,))] = None
    return_token_ids: Annotated[Any, Refused(neutral=(False,))] = None
    stream_options: ResponseStreamOptions | None = None  # type: ignore[assignment]
    max_output_tokens: Count | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), INTEGRAL] | None = None
    include: ListOf[str] | None = None
    metadata: MetadataField | None = None
    store: bool | None = None
    background: bool | None = None
    priority: Priority | None = None

    @property
    def kept(self) -> bool:
        return self.store is not False

    @property
    def likelihoods(self) -> int | None:
        """How many alternatives to report; None reports nothing."""
        if self.top_logprobs or LOGPROBS in (self.include or ()):
            return self.top_logprobs or 0
        return None


class MeaninglessResponseFields(Wire):
    """Fields that official clients send and that change nothing here; their types are checked."""

    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    max_tool_calls: Count | None = None


class ChatOnlyFields(Wire):
    """What only a chat says in these words, so that it would be passed over here."""

    messages: Annotated[Any, Refused()] = None
    max_tokens: Annotated[Any, Refused()] = None
    max_completion_tokens: Annotated[Any, Refused()] = None
    logprobs: Annotated[Any, Refused(neutral=(False,))] = None
    reasoning_effort: Annotated[Any, Refused()] = None
    chat_template_kwargs: Annotated[Any, Refused()] = None
    functions: Annotated[Any, Refused()] = None
    function_call: Annotated[Any, Refused()] = None
    response_format: Annotated[Any, Refused(neutral=({"type": "text"},))] = None
    structured_outputs: Annotated[Any, Refused()] = None
    guided_json: Annotated[Any, Refused()] = None
    guided_regex: Annotated[Any, Refused()] = None
    guided_choice: Annotated[Any, Refused()] = None
    guided_grammar: Annotated[Any, Refused()] = None
    json_schema: Annotated[Any, Refused()] = None
    grammar: Annotated[Any, Refused()] = None


class RefusedResponseFields(ChatOnlyFields):
    """Fields that would change the answer and cannot be honoured, beside their neutral values."""

    prompt: Annotated[Any, Refused()] = None
    moderation: Annotated[Any, Refused()] = None
    context_management: Annotated[Any, Refused(neutral=([],))] = None
    background_options: Annotated[Any, Refused()] = None
    access_programs: Annotated[Any, Refused()] = None
    image: Annotated[Any, Refused()] = None


class ResponseBody(RefusedResponseFields, MeaninglessResponseFields, HonouredResponseFields):
    """A request for a response."""


class InputTokensBody(PromptFields):
    """What POST /v1/responses/input_tokens counts; model: without one the first that is served."""

    model: str | None = None
    personality: Annotated[Any, Refused()] = None
