"""POST /v1/chat/completions."""

from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, Request, Response

from server.api.answers import STREAMED, answer_stream, answer_whole, find_service
from server.api.chat_answer import ChatCompletion, head, whole_answer
from server.api.chat_request import ChatCompletionRequest
from server.api.chat_stream import ChunkWriter, chunks
from server.api.chat_turn import turn_request
from server.api.context import Served
from server.api.priority import priority_of
from server.api.streams import framed
from server.api.strict_json import JsonRoute
from server.chat.types import TurnEvent

router = APIRouter(route_class=JsonRoute, tags=["chat"])


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAMED)
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, context: Served
) -> Response | ChatCompletion:
    """Answers a conversation."""
    service = await find_service(context, body.model)
    model, seconds, choices = service.model, context.request_timeout_s, body.n or 1
    asked = turn_request(
        body,
        caller=request.state.caller,
        vocab_size=model.spec.vocab_size,
        thinks=model.template.thinks,
        priority=priority_of(request, body.priority),
    )
    turn = await service.start(asked)
    token_bytes = model.tokenizer.token_bytes if body.logprobs else None
    if not body.stream:
        whole = whole_answer(turn, head(model), choices, token_bytes, legacy=body.legacy)
        return await answer_whole(request, turn, seconds, whole)
    writer = ChunkWriter(
        head(model), include_usage=body.wants_usage, token_bytes=token_bytes, legacy=body.legacy
    )

    def frames(events: AsyncIterator[TurnEvent]) -> AsyncGenerator[bytes]:
        return framed(chunks(turn, events, writer, choices))

    return await answer_stream(request, turn, seconds, frames)
