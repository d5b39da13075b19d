"""What a chat turn is asked and what it answers, in plain values."""

from dataclasses import dataclass, field
from typing import Literal

from server.chat.tokens import TextToken
from server.engine.messages import FinishReason

Role = Literal["system", "user", "assistant"]
# How much an answer is to be thought about; "on" is as much as the model likes.
Thinking = Literal["none", "on", "low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation; `developer` has become `system`."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """What the request says about sampling; None leaves it to the model's template."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    penalty_decay: float | None = None
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One chat completion. `caller` separates conversations: no state crosses callers.

    thinking: None leaves it to the template, the only value for one that knows no thinking.
    logprobs: how many alternatives to report with the likelihood of each of the content's tokens;
    None reports nothing.
    """

    caller: str
    messages: tuple[Message, ...]
    choices: int = 1
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    thinking: Thinking | None = None
    logprobs: int | None = None


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
class ChoiceEnd:
    """The last event of a choice; `tokens` were sampled for it, some of them for its thoughts."""

    choice: int
    reason: FinishReason
    tokens: int
    reasoning_tokens: int = 0


TurnEvent = TextDelta | ReasoningDelta | ChoiceEnd
