"""A whole chat completion on the wire."""

import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, Field

from server.api.logprobs import ChatLogprobs, chat_logprobs
from server.chat.service import ServedModel
from server.chat.tokens import TextToken, TokenBytes
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, EndReason, ReasoningDelta, TextDelta

SERVICE_TIER: Literal["default"] = "default"
WireReason = Literal["stop", "length", "tool_calls"]
# A time limit ends an answer early just as a length limit does.
REASONS: Mapping[EndReason, WireReason] = {
    "stop": "stop",
    "length": "length",
    "cancelled": "length",
    "tool_calls": "tool_calls",
}


class PromptDetails(BaseModel):
    """cached_tokens came with a kept state and were not computed again."""

    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(BaseModel):
    """reasoning_tokens of the tokens are thoughts; nothing else that is counted here exists."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(BaseModel):
    """The prompt is counted once, completion tokens over all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class AnswerMessage(BaseModel):
    """The model's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] = []


class ThoughtfulMessage(AnswerMessage):
    """A message the model thought about before it wrote it."""

    reasoning_content: str


class Choice(BaseModel):
    """One of the answers to a prompt."""

    index: int
    message: ThoughtfulMessage | AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: WireReason


class ChoiceWithIds(Choice):
    """token_ids: everything that was sampled, thoughts and a stop token included."""

    token_ids: list[int]


class ChatCompletion(BaseModel):
    """The answers to a prompt."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChoiceWithIds | Choice]
    usage: Usage
    service_tier: Literal["default"] = SERVICE_TIER
    system_fingerprint: str


class ChatCompletionWithIds(ChatCompletion):
    """Also the ids of the prompt, as the model has read them."""

    prompt_token_ids: list[int]


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer and all chunks of a streamed one have in common."""

    model: str
    system_fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


def head(model: ServedModel) -> Head:
    """A new answer's head."""
    return Head(model.id, fingerprint(model))


def fingerprint(model: ServedModel) -> str:
    """A short name of the weights."""
    return f"fp_{model.spec.fingerprint[:12]}"


class Counted(Protocol):
    """A prompt's tokens, and those of them that came with a kept state."""

    prompt_tokens: int
    cached_tokens: int


def usage(turn: Counted, ends: Iterable[ChoiceEnd]) -> Usage:
    """What a turn has used for the choices that have ended."""
    ends = list(ends)
    completion_tokens = sum(end.tokens for end in ends)
    return Usage(
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=turn.prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=turn.cached_tokens),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=sum(end.reasoning_tokens for end in ends)
        ),
    )


async def whole_answer(
    turn: Turn, head: Head, choices: int, token_bytes: TokenBytes | None = None
) -> ChatCompletion:
    """Waits for the end of every choice. Raises AnswerFailed.

    token_bytes: given where likelihoods were asked for.
    """
    texts = [""] * choices
    tokens: list[list[TextToken]] = [[] for _ in range(choices)]
    thoughts = [""] * choices
    ends: dict[int, ChoiceEnd] = {}
    async for event in turn.events():
        match event:
            case TextDelta(choice, text, written):
                texts[choice] += text
                tokens[choice] += written
            case ReasoningDelta(choice, text):
                thoughts[choice] += text
            case ChoiceEnd(choice):
                ends[choice] = event
    return with_ids(
        turn,
        ChatCompletion(
            id=head.id,
            created=head.created,
            model=head.model,
            choices=[
                Choice(
                    index=i,
                    message=_message(texts[i], thoughts[i]),
                    logprobs=None if token_bytes is None else chat_logprobs(tokens[i], token_bytes),
                    finish_reason=REASONS[ends[i].reason],
                )
                for i in range(choices)
            ],
            usage=usage(turn, ends.values()),
            system_fingerprint=head.system_fingerprint,
        ),
    )


def with_ids(turn: Turn, answer: ChatCompletion) -> ChatCompletion:
    """The answer with the ids of its tokens, if they are wanted."""
    if turn.prompt_ids is None:
        return answer
    choices = [
        ChoiceWithIds(**dict(choice), token_ids=turn.answer_ids[choice.index])
        for choice in answer.choices
    ]
    return ChatCompletionWithIds(
        **(dict(answer) | {"choices": choices}), prompt_token_ids=list(turn.prompt_ids)
    )


def _message(text: str, thought: str) -> AnswerMessage:
    if thought:
        return ThoughtfulMessage(content=text, reasoning_content=thought)
    return AnswerMessage(content=text)
