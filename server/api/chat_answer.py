"""A whole chat completion on the wire."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from server.chat.service import ServedModel
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, TextDelta
from server.engine.messages import FinishReason

SERVICE_TIER: Literal["default"] = "default"
WireReason = Literal["stop", "length"]
# A time limit ends an answer early just as a length limit does.
REASONS: Mapping[FinishReason, WireReason] = {
    "stop": "stop",
    "length": "length",
    "cancelled": "length",
}


class PromptDetails(BaseModel):
    """cached_tokens came with a kept state and were not computed again."""

    cached_tokens: int
    audio_tokens: int = 0


class CompletionDetails(BaseModel):
    """All zero: answers are text without reasoning, written token by token."""

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
    completion_tokens_details: CompletionDetails = CompletionDetails()


class AnswerMessage(BaseModel):
    """The model's message."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] = []


class Choice(BaseModel):
    """One of the answers to a prompt."""

    index: int
    message: AnswerMessage
    logprobs: None = None
    finish_reason: WireReason


class ChatCompletion(BaseModel):
    """The answers to a prompt."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    service_tier: Literal["default"] = SERVICE_TIER
    system_fingerprint: str


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer and all chunks of a streamed one have in common."""

    model: str
    system_fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))


def head(model: ServedModel) -> Head:
    """A new answer's head; its fingerprint is a short name of the weights."""
    return Head(model.id, f"fp_{model.spec.fingerprint[:12]}")


def usage(turn: Turn, completion_tokens: int) -> Usage:
    """What a turn has used."""
    return Usage(
        prompt_tokens=turn.prompt_tokens,
        completion_tokens=completion_tokens,
        total_tokens=turn.prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=turn.cached_tokens),
    )


async def whole_answer(turn: Turn, head: Head, choices: int) -> ChatCompletion:
    """Waits for the end of every choice. Raises AnswerFailed."""
    texts = [""] * choices
    reasons: list[WireReason] = ["stop"] * choices
    tokens = 0
    async for event in turn.events():
        match event:
            case TextDelta(choice, text):
                texts[choice] += text
            case ChoiceEnd(choice, reason, sampled):
                reasons[choice] = REASONS[reason]
                tokens += sampled
    return ChatCompletion(
        id=head.id,
        created=head.created,
        model=head.model,
        choices=[
            Choice(index=i, message=AnswerMessage(content=text), finish_reason=reason)
            for i, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        ],
        usage=usage(turn, tokens),
        system_fingerprint=head.system_fingerprint,
    )
