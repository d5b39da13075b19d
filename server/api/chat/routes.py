"""POST /v1/chat/completions."""

from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter, Request, Response

from server.api.answers import answer_stream, answer_whole, find_service, streamed
from server.api.chat.answer import ChatCompletion, ChatCompletionWithIds, head, whole_answer
from server.api.chat.keeping import Keeping, kept, read_past
from server.api.chat.request import ChatCompletionRequest
from server.api.chat.stream import ChunkWriter, chunks
from server.api.chat.turn import turn_request
from server.api.context import Served
from server.api.priority import priority_of
from server.api.stored import Stored
from server.api.streams import framed
from server.api.strict_json import JsonRoute
from server.chat.types import TurnEvent

router = APIRouter(route_class=JsonRoute, tags=["chat"])


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletionWithIds | ChatCompletion,
    responses=streamed("ChatStream"),
)
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, context: Served
) -> Response | ChatCompletion:
    """Answers a conversation."""
    caller: str = request.state.caller
    wanted = context.catalogue.offer(body.model).model
    past = await read_past(body, Stored(context.records, caller), wanted)
    service = await find_service(context, body.model)
    model, seconds, choices = service.model, context.request_timeout_s, body.n or 1
    asked = turn_request(
        body,
        caller=caller,
        vocab_size=model.spec.vocab_size,
        thinks=model.template.thinks,
        priority=priority_of(request, body.priority),
        before=past.messages,
    )
    begun = head(model)
    new = asked.messages[len(past.messages) :]
    given = past.items(body, new, begun.id) if kept(body) else None
    turn = await service.start(asked)
    token_bytes = model.tokenizer.token_bytes if body.logprobs else None
    keeping = None if given is None else Keeping(body, past, given, turn, begun, token_bytes)

    def heard(events: AsyncIterator[TurnEvent]) -> AsyncIterator[TurnEvent]:
        return events if keeping is None else keeping.hear(events)

    if not body.stream:
        events = heard(turn.events())
        whole = whole_answer(turn, events, begun, choices, token_bytes, legacy=body.legacy)
        return await answer_whole(request, turn, seconds, whole)
    writer = ChunkWriter(
        begun, include_usage=body.wants_usage, token_bytes=token_bytes, legacy=body.legacy
    )

    def frames(events: AsyncIterator[TurnEvent]) -> AsyncGenerator[bytes]:
        return framed(chunks(turn, heard(events), writer, choices))

    return await answer_stream(request, turn, seconds, frames)
