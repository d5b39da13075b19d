"""A response on the wire, as OpenAI's SDK types it."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from server.api.chat.answer import SERVICE_TIER
from server.api.chat.usage import Counted
from server.api.items import Item
from server.api.items.types import OutputItem
from server.api.outgoing import ClosedModel, ToldAs
from server.api.responses.echoed import ToldChoice, ToldFormat, ToldTool
from server.api.responses.request import (
    Reasoning,
    ResponseBody,
    ResponseFunction,
    ResponseTool,
)
from server.api.responses.turn import Asked
from server.chat.served import ServedModel
from server.chat.types import ChoiceEnd, TurnRequest

_UNTOLD = {"deferred", "asynchronous", "allowed_callers", "output_schema"}
Status = Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]
# Of what is not yet at its end.
OPEN: frozenset[Status] = frozenset({"queued", "in_progress"})


class ResponseInputDetails(ClosedModel):
    """cached_tokens came with a kept state; cache_write_tokens were read, and are kept now."""

    cached_tokens: int
    cache_write_tokens: int


class ResponseOutputDetails(ClosedModel):
    """reasoning_tokens of the tokens are thoughts."""

    reasoning_tokens: int


class ResponseUsage(ClosedModel):
    """What a response has cost."""

    input_tokens: int
    input_tokens_details: ResponseInputDetails
    output_tokens: int
    output_tokens_details: ResponseOutputDetails
    total_tokens: int


class ResponseError(ClosedModel):
    """Why there is no answer."""

    code: Literal["server_error"] = "server_error"
    message: str


class IncompleteDetails(ClosedModel):
    """Why there is only a part of an answer."""

    reason: Literal["max_output_tokens"] = "max_output_tokens"


class ConversationId(ClosedModel):
    """The conversation that an answer was added to."""

    id: str


class ToldText(ClosedModel):
    """What the text had to be."""

    format: Annotated[dict[str, Any], ToldAs(ToldFormat)]


class ToldReasoning(ClosedModel):
    """How much was to be thought."""

    effort: str | None
    summary: str | None


class Response(ClosedModel):
    """A response. What the request left open stands here as it was taken."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None = None
    status: Status = "in_progress"
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    model: str
    output: list[Annotated[Item, ToldAs(OutputItem)]] = Field(default_factory=list)
    usage: ResponseUsage | None = None
    instructions: str | None
    previous_response_id: str | None
    conversation: ConversationId | None
    background: bool
    store: bool
    max_output_tokens: int | None
    temperature: float
    top_p: float
    top_logprobs: int
    parallel_tool_calls: bool
    tool_choice: Annotated[str | dict[str, Any], ToldAs(ToldChoice)]
    tools: list[Annotated[dict[str, Any], ToldAs(ToldTool)]]
    text: ToldText
    reasoning: ToldReasoning
    truncation: Literal["disabled", "auto"]
    metadata: dict[str, str]
    user: str | None
    service_tier: Literal["default"] = SERVICE_TIER


def begun_response(
    body: ResponseBody, asked: Asked, request: TurnRequest, model: ServedModel
) -> Response:
    """A response of which nothing is written yet."""
    choice = body.tool_choice
    conversation = asked.earlier.conversation
    return Response(
        id=asked.id,
        created_at=int(time.time()),
        status="queued" if body.background else "in_progress",
        model=model.id,
        instructions=body.instructions,
        previous_response_id=asked.earlier.previous,
        conversation=None if conversation is None else ConversationId(id=conversation),
        background=bool(body.background),
        store=body.kept,
        max_output_tokens=body.max_output_tokens,
        temperature=_effective(request, model, "temperature"),
        top_p=_effective(request, model, "top_p"),
        top_logprobs=body.top_logprobs or 0,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        tool_choice=choice if isinstance(choice, str) else _dumped(choice) or "auto",
        tools=[_told(tool) for tool in body.known_tools],
        text=ToldText(format=_dumped(body.text and body.text.format) or {"type": "text"}),
        reasoning=_reasoning(body.reasoning),
        truncation=body.truncation or "disabled",
        metadata=body.metadata or {},
        user=body.user,
    )


def _told(tool: ResponseTool) -> dict[str, Any]:
    if isinstance(tool, ResponseFunction):
        return tool.model_dump(exclude=_UNTOLD)
    given = tool.model_dump(exclude=_UNTOLD, exclude_none=True)
    return {**given, "format": given.get("format", {"type": "text"})}


def _effective(
    request: TurnRequest, model: ServedModel, name: Literal["temperature", "top_p"]
) -> float:
    """What the request says, else what the template says; neither cuts anything off."""
    given: float | None = getattr(request.sampling, name)
    default: float | None = getattr(model.template.sampling, name)
    return next((value for value in (given, default) if value is not None), 1.0)


def _dumped(given: BaseModel | None) -> dict[str, Any]:
    return {} if given is None else given.model_dump(by_alias=True, exclude_none=True)


def _reasoning(given: Reasoning | None) -> ToldReasoning:
    if given is None:
        return ToldReasoning(effort=None, summary=None)
    return ToldReasoning(effort=given.effort, summary=given.summary)


def response_usage(turn: Counted, end: ChoiceEnd) -> ResponseUsage:
    """What a turn has used."""
    read, cached = turn.prompt_tokens, turn.cached_tokens
    return ResponseUsage(
        input_tokens=read,
        input_tokens_details=ResponseInputDetails(
            cached_tokens=cached, cache_write_tokens=read - cached
        ),
        output_tokens=end.tokens,
        output_tokens_details=ResponseOutputDetails(reasoning_tokens=end.reasoning_tokens),
        total_tokens=read + end.tokens,
    )


def as_lost(answer: Mapping[str, Any]) -> dict[str, Any]:
    """One that was under way when the server ended."""
    error = ResponseError(message="The server ended before the answer did.")
    return {**answer, "status": "failed", "error": error.model_dump()}
