"""POST /v1/messages and /v1/messages/count_tokens."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from server.api.answers import answer_stream, answer_whole, find_service, streamed
from server.api.context import Served
from server.api.counting import count_tokens
from server.api.dialects import anthropic_error
from server.api.errors import failure, unexpected
from server.api.messages.answer import AnthropicAnswer, AnthropicErrorBody
from server.api.messages.request import CountTokensBody, MessagesBody
from server.api.messages.turn import prompt_request, turn_request
from server.api.messages.writer import MessageWriter
from server.api.outgoing import ClosedModel
from server.api.priority import priority_of
from server.api.streams import named_frame
from server.api.strict_json import JsonRoute
from server.chat.types import TurnEvent
from server.errors import RequestError

log = logging.getLogger(__name__)

router = APIRouter(prefix="/v1/messages", route_class=JsonRoute, tags=["messages"])


_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": AnthropicErrorBody},
    "5XX": {"model": AnthropicErrorBody},
}


class TokensCount(ClosedModel):
    """What a message would cost to read."""

    input_tokens: int


@router.post("", response_model=AnthropicAnswer, responses=streamed("MessageStream") | _ERRORS)
async def create_message(body: MessagesBody, request: Request, context: Served) -> Response:
    """Answers a conversation."""
    service = await find_service(context, body.model)
    model, seconds = service.model, context.request_timeout_s
    asked = turn_request(body, caller=request.state.caller, thinks=model.template.thinks)
    turn = await service.start(replace(asked, priority=priority_of(request, None)))
    writer = MessageWriter(turn, model.id)
    if not body.stream:
        return await answer_whole(request, turn, seconds, _whole(turn.events(), writer))

    def frames(events: AsyncIterator[TurnEvent]) -> AsyncGenerator[bytes]:
        return _frames(events, writer, request)

    return await answer_stream(request, turn, seconds, frames)


async def _whole(events: AsyncIterator[TurnEvent], writer: MessageWriter) -> Response:
    async for event in events:
        for _ in writer.push(event):
            pass
    return JSONResponse(writer.message.model_dump())


async def _frames(
    events: AsyncIterator[TurnEvent], writer: MessageWriter, request: Request
) -> AsyncGenerator[bytes]:
    """All events; a failure on the way is an `error`, and the last."""
    try:
        for told in writer.begin():
            yield named_frame(told)
        async for event in events:
            for told in writer.push(event):
                yield named_frame(told)
    except RequestError as error:
        broken = failure(error)
    except Exception:
        log.exception("a stream failed")
        broken = unexpected()
    else:
        return
    yield named_frame(anthropic_error(broken.status, broken.detail.message, request.scope))


@router.post("/count_tokens", responses=_ERRORS)
async def count_message_tokens(
    body: CountTokensBody, request: Request, context: Served
) -> TokensCount:
    """How many tokens a message would read; nothing is computed."""
    model = context.catalogue.offer(body.model).model
    thinks = model.template.thinks
    asked = prompt_request(body, caller=request.state.caller, thinks=thinks)
    return TokensCount(input_tokens=await count_tokens(model, asked))
