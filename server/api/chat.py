"""POST /v1/chat/completions."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response

from server.api.chat_answer import ChatCompletion, Head, head, whole_answer
from server.api.chat_request import ChatCompletionRequest
from server.api.chat_stream import ChunkWriter, chunks
from server.api.chat_turn import turn_request
from server.api.context import Context, Served
from server.api.errors import RETRY_AFTER_S, Stopping
from server.api.streams import PING_S, EventStream, while_connected
from server.api.strict_json import JsonRoute
from server.chat.turn import Turn
from server.chat.types import TurnEvent
from server.errors import NotFound

router = APIRouter(route_class=JsonRoute, tags=["chat"])
_STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}
}


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=_STREAMED)
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, context: Served
) -> Response | ChatCompletion:
    """Answers a conversation."""
    turn = _start(body, request, context)
    answer = _Answer(turn, head(context.service.model), choices=body.n or 1)
    answer.end_after(context.request_timeout_s)
    if body.stream:
        usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        return await _stream(answer, request, include_usage=usage)
    try:
        whole = whole_answer(turn, answer.head, answer.choices)
        return await while_connected(request.receive, whole)
    finally:
        answer.end()


async def _stream(answer: "_Answer", request: Request, *, include_usage: bool) -> Response:
    try:
        events = await while_connected(request.receive, _begun(answer.turn.events()))
    except BaseException:
        answer.end()
        raise
    writer = ChunkWriter(answer.head, include_usage=include_usage)
    frames = chunks(answer.turn, events, writer, answer.choices)
    return EventStream(frames, on_end=answer.end)


def _start(body: ChatCompletionRequest, request: Request, context: Context) -> Turn:
    """Admits the turn or raises, before anything of the response has been sent."""
    if not context.ready:
        raise Stopping("The server is stopping.", retry_after_s=RETRY_AFTER_S)
    model = context.service.model
    if body.model != model.id:
        raise unknown_model(body.model, model.id)
    asked = turn_request(
        body,
        caller=request.state.caller,
        vocab_size=model.spec.vocab_size,
        thinks=model.template.thinks,
    )
    return context.service.start(asked)


def unknown_model(asked: str, served: str) -> NotFound:
    """Raised for an id that is not served."""
    message = f"The model {asked[:100]!r} is not served here; {served!r} is."
    return NotFound(message, param="model", code="model_not_found")


class _Answer:
    """A turn under way and what its answer is called."""

    def __init__(self, turn: Turn, head: Head, *, choices: int) -> None:
        self.turn = turn
        self.head = head
        self.choices = choices
        self._timer: asyncio.TimerHandle | None = None

    def end_after(self, seconds: float) -> None:
        """Lets the turn go on for `seconds` at most; 0 is for ever."""
        if seconds:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self.turn.cancel)

    def end(self) -> None:
        """Ends the turn, if it has not ended by itself."""
        if self._timer is not None:
            self._timer.cancel()
        self.turn.cancel()


async def _begun(events: AsyncIterator[TurnEvent]) -> AsyncGenerator[TurnEvent]:
    """The events, once the first is there, so that an error before it is a plain HTTP error.

    Waits for as long as a silent connection is safe; after that the stream begins without.
    """
    first = asyncio.ensure_future(anext(events, None))
    try:
        await asyncio.wait({first}, timeout=PING_S)
        if first.done():
            first.result()
    except BaseException:
        first.cancel()
        raise
    return _chained(first, events)


async def _chained(
    first: "asyncio.Future[TurnEvent | None]", events: AsyncIterator[TurnEvent]
) -> AsyncGenerator[TurnEvent]:
    event = await first
    if event is not None:
        yield event
    async for event in events:
        yield event
