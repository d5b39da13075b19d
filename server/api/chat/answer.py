"""A whole chat completion on the wire."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.chat.calls import FunctionCall, MessageCall, MessageToolCall, begun_call
from server.api.chat.usage import Usage, usage
from server.api.logprobs import ChatLogprobs, chat_logprobs
from server.api.outgoing import LEFT_OUT, ClosedModel
from server.chance import fresh_hex
from server.chat.served import ServedModel
from server.chat.tokens import TextToken, TokenBytes
from server.chat.turn import Turn
from server.chat.types import (
    ChoiceEnd,
    EndReason,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    TurnEvent,
)

SERVICE_TIER: Literal["default"] = "default"
WireReason = Literal["stop", "length", "tool_calls", "function_call"]
# A time limit ends an answer early just as a length limit does.
REASONS: Mapping[EndReason, WireReason] = {
    "stop": "stop",
    "length": "length",
    "cancelled": "length",
    "tool_calls": "tool_calls",
}


class AnswerMessage(ClosedModel):
    """The model's message. content: null where it only calls.

    reasoning_content: what it thought before. function_call: a call that was asked for in the
    older form. Keys that say nothing are left out.
    """

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    annotations: list[Any] = Field(max_length=0, default_factory=list)
    reasoning_content: Annotated[str | None, LEFT_OUT] = None
    tool_calls: Annotated[list[MessageCall] | None, LEFT_OUT] = None
    function_call: Annotated[FunctionCall | None, LEFT_OUT] = None


class Choice(ClosedModel):
    """One of the answers to a prompt."""

    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: WireReason


class ChoiceWithIds(Choice):
    """token_ids: everything that was sampled, thoughts and a stop token included."""

    token_ids: list[int]


class ChatCompletion(ClosedModel):
    """The answers to a prompt; metadata: of one that is stored."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: Sequence[Choice]
    usage: Usage
    service_tier: Literal["default"] = SERVICE_TIER
    system_fingerprint: str
    metadata: Annotated[dict[str, str] | None, LEFT_OUT] = None


class ChatCompletionWithIds(ChatCompletion):
    """Also the ids of the prompt, as the model has read them."""

    choices: Sequence[ChoiceWithIds]
    prompt_token_ids: list[int]


@dataclass(frozen=True, slots=True)
class Head:
    """What an answer and all chunks of a streamed one have in common."""

    model: str
    system_fingerprint: str
    id: str = field(default_factory=lambda: f"chatcmpl-{fresh_hex(16)}")
    created: int = field(default_factory=lambda: int(time.time()))


def head(model: ServedModel) -> Head:
    """A new answer's head."""
    return Head(model.id, fingerprint(model))


def fingerprint(model: ServedModel) -> str:
    """A short name of the weights."""
    return f"fp_{model.spec.fingerprint[:12]}"


@dataclass
class Collected:
    """The events of one choice, put together."""

    text: str = ""
    thought: str = ""
    tokens: list[TextToken] = field(default_factory=list)
    calls: list[MessageCall] = field(default_factory=list)
    end: ChoiceEnd | None = None

    def add(self, event: TurnEvent) -> None:
        match event:
            case TextDelta(_, text, written):
                self.text += text
                self.tokens += written
            case ReasoningDelta(_, text):
                self.thought += text
            case ToolCallDelta(name=str()):
                self.calls.append(begun_call(event))
            case ToolCallDelta():
                self.calls[event.index].add(event.arguments)
            case ChoiceEnd():
                self.end = event

    @property
    def said(self) -> Message:
        """As the model has said it."""
        return Message("assistant", self.text, tuple(call.said for call in self.calls))

    def message(self, *, legacy: bool) -> AnswerMessage:
        found = AnswerMessage(
            content=self.text or (None if self.calls else ""),
            reasoning_content=self.thought or None,
        )
        match self.calls:
            case [MessageToolCall(function=function), *_] if legacy:
                found.function_call = function
            case [_, *_]:
                found.tool_calls = self.calls
        return found


async def whole_answer(
    turn: Turn,
    events: AsyncIterator[TurnEvent],
    head: Head,
    choices: int,
    token_bytes: TokenBytes | None = None,
    *,
    legacy: bool = False,
) -> ChatCompletion:
    """Waits for the end of every choice. Raises AnswerFailed.

    token_bytes: given where likelihoods were asked for. legacy: calls in the older form.
    """
    found = [Collected() for _ in range(choices)]
    async for event in events:
        found[event.choice].add(event)
    return completion(turn, head, found, token_bytes, legacy=legacy)


def completion(
    turn: Turn,
    head: Head,
    found: Sequence[Collected],
    token_bytes: TokenBytes | None = None,
    *,
    legacy: bool = False,
) -> ChatCompletion:
    """Of choices that have ended."""
    ends = [one.end for one in found if one.end is not None]
    answer = ChatCompletion(
        id=head.id,
        created=head.created,
        model=head.model,
        choices=[
            Choice(
                index=i,
                message=one.message(legacy=legacy),
                logprobs=None if token_bytes is None else chat_logprobs(one.tokens, token_bytes),
                finish_reason=finish_reason(end, legacy=legacy),
            )
            for i, (one, end) in enumerate(zip(found, ends, strict=True))
        ],
        usage=usage(turn, ends),
        system_fingerprint=head.system_fingerprint,
    )
    return with_ids(turn, answer)


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


def finish_reason(end: ChoiceEnd, *, legacy: bool) -> WireReason:
    """A call is `tool_calls` also where the request named it, as the specification has it."""
    if end.reason == "tool_calls" and legacy:
        return "function_call"
    return REASONS[end.reason]
