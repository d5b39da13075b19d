"""What a chat turn is asked and what it answers, in plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from server.chat.tokens import TextToken
from server.engine.messages import FinishReason

Role = Literal["system", "user", "assistant", "tool"]
# How much an answer is to be thought about; "on" is as much as the model likes.
Thinking = Literal["none", "on", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call in an assistant's message; `arguments` is JSON as text, as the model wrote it.

    custom: of a custom tool, whose text is in them.
    """

    id: str
    name: str
    arguments: str
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; `developer` has become `system`.

    tool_calls: of an assistant's message, after its content. tool_call_id: which of them a
    tool's message, the result in its content, answers.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; parameters: a JSON schema of its arguments.

    strict: the arguments must validate, or the request is refused. param: the request's field
    that the parameters came in, for the error if they cannot be enforced. custom: it is called
    with a text, which has to be what `form` says; see server.chat.tools.custom.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    param: str = "tools"
    custom: bool = False
    form: "Constraint | None" = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether tools are called. names: the only ones that may be; empty stands for all."""

    mode: Literal["none", "auto", "required"] = "auto"
    names: tuple[str, ...] = ()


ConstraintKind = Literal["json_schema", "json_object", "regex", "choice", "lark"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the text of an answer has to be.

    source: a JSON schema, nothing, a regular expression, a JSON list of strings, or a grammar.
    param: the request's field it came in, for the error if it cannot be enforced.
    """

    kind: ConstraintKind
    source: str
    param: str


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """What the request says about sampling; None leaves it to the model's template."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    penalty_decay: float | None = None
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    min_tokens: int = 0
    bad_words: tuple[str, ...] = ()
    allowed_ids: tuple[int, ...] | None = None


def salted(caller: str, salt: str) -> str:
    """The caller whose states these are, where a caller keeps some apart by a salt."""
    return f"{caller}\0{salt}" if salt else caller


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One chat completion. `caller` separates conversations: no state crosses callers.

    thinking: None leaves it to the template, the only value for one that knows no thinking.
    ignore_eos: neither the id that ends a text nor the template's stops end the answer.
    token_ids: those of the prompt and of the answers are wanted.
    logprobs: how many alternatives to report with the likelihood of each of the content's tokens;
    None reports nothing. priority: a lower number comes first; see Place. salt: keeps the states of
    a caller apart. goes_on: the answer goes on from the last message, words of the assistant's;
    echo: and is told with them.
    """

    caller: str
    messages: tuple[Message, ...]
    choices: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    thinking: Thinking | None = None
    logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    token_ids: bool = False
    constraint: Constraint | None = None
    priority: int = 0
    salt: str = ""
    goes_on: bool = False
    echo: bool = False

    @property
    def owner(self) -> str:
        """Whose states can be resumed."""
        return salted(self.caller, self.salt)


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More text of one choice, always whole characters.

    tokens: those that are complete with it, for turns where likelihoods were asked for, and for
    all completions. The text is empty only where there are tokens.
    """

    choice: int
    text: str
    tokens: tuple[TextToken, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of what the model thinks before it answers; never empty, always whole characters."""

    choice: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """More of a call; only the first delta of a call has its `id` and its whole `name`.

    index: of the call among those of its choice, from 0. custom: of a custom tool, whose text is
    in the place of arguments.
    """

    choice: int
    index: int
    arguments: str
    id: str | None = None
    name: str | None = None
    custom: bool = False


EndReason = FinishReason | Literal["tool_calls"]


@dataclass(frozen=True, slots=True)
class ChoiceEnd:
    """The last event of a choice; `tokens` were sampled for it, some of them for its thoughts.

    stop: the string of the request that ended it, if one did.
    """

    choice: int
    reason: EndReason
    tokens: int
    reasoning_tokens: int = 0
    stop: str | None = None


TurnEvent = TextDelta | ReasoningDelta | ToolCallDelta | ChoiceEnd
