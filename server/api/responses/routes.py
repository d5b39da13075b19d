"""POST /v1/responses, and what can be done with a response afterwards."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, HTTPException, Request
from fastapi import Response as HttpResponse
from fastapi.responses import JSONResponse

from server.api.answers import answer_stream, answer_whole, find_service, streamed
from server.api.context import Context, Served
from server.api.counting import count_tokens
from server.api.items.page import ItemList, item_page
from server.api.outgoing import ClosedModel
from server.api.pages import paged, queried
from server.api.priority import priority_of
from server.api.responses import background
from server.api.responses.answer import Response, begun_response
from server.api.responses.kept import Writing, response_document
from server.api.responses.request import InputTokensBody, ResponseBody
from server.api.responses.turn import Asked, prompt_request, read_prompt, start, turn_request
from server.api.responses.writer import Event, ResponseWriter
from server.api.stored import Conversations, Stored
from server.api.stored.documents import too_large_to_store
from server.api.streams import EventStream, named_frame
from server.api.strict_json import JsonRoute
from server.chat.types import TurnEvent
from server.errors import InvalidRequest

router = APIRouter(prefix="/v1/responses", route_class=JsonRoute, tags=["responses"])


class InputTokens(ClosedModel):
    """What an input would cost."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


class DeletedResponse(ClosedModel):
    """A response that is no longer there."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


@router.post("", response_model=Response, responses=streamed("ResponseStream"))
async def create_response(body: ResponseBody, request: Request, context: Served) -> HttpResponse:
    """Answers an input, and what it goes on from."""
    writing = await _begin(body, request, context)
    if body.background:
        run = await background.begin(writing, request, context, streamed=bool(body.stream))
        if body.stream:
            return EventStream(_frames(run.follow(0)), on_end=lambda: None)
        return JSONResponse(writing.writer.response.model_dump())
    if not body.stream:
        whole = _whole(writing)
        return await answer_whole(request, writing.turn, context.request_timeout_s, whole)

    def frames(events: AsyncIterator[TurnEvent]) -> AsyncGenerator[bytes]:
        return _frames(writing.all_events(events))

    return await answer_stream(
        request, writing.turn, context.request_timeout_s, frames, on_end=writing.left
    )


async def _begin(body: ResponseBody, request: Request, context: Context) -> Writing:
    if body.background and not body.kept:
        message = "A response in the background can only be had if it is stored; store is false."
        raise InvalidRequest(message, param="background", code="invalid_value")
    caller: str = request.state.caller
    stored = Stored(context.records, caller)
    asked = await read_prompt(body, stored, context.catalogue.offer(body.model).model)
    if asked.earlier.conversation is not None:
        Conversations(stored).check_room(asked.earlier.conversation, asked.items)
    service = await find_service(context, body.model)
    wanted = turn_request(body, asked, caller, service.model)
    turn_asked = replace(wanted, priority=priority_of(request, body.priority))
    response = begun_response(body, asked, turn_asked, service.model)
    response.store = _storable(body, response, asked, stored)
    turn = await start(service, turn_asked, asked)
    token_bytes = None if body.likelihoods is None else service.model.tokenizer.token_bytes
    return Writing(turn, ResponseWriter(response, token_bytes), asked, stored)


def _storable(body: ResponseBody, response: Response, asked: Asked, stored: Stored) -> bool:
    """Whether it is stored. Raises InvalidRequest where it has to be, and is too large for it."""
    if not body.kept or stored.fits(response_document(response, asked, stored)):
        return body.kept
    if body.store or body.background:
        raise too_large_to_store()
    return False


async def _whole(writing: Writing) -> HttpResponse:
    async for _ in writing.events(writing.turn.events()):
        pass
    return JSONResponse(writing.writer.response.model_dump())


async def _frames(events: AsyncIterator[Event]) -> AsyncGenerator[bytes]:
    async for event in events:
        yield named_frame(event)


@router.post("/compact", include_in_schema=False)
async def compact_response() -> None:
    """There is nothing to be made shorter: a state has one size. Not an id of a response."""
    raise HTTPException(404)


@router.post("/input_tokens")
async def count_input_tokens(
    body: InputTokensBody, request: Request, context: Served
) -> InputTokens:
    """How many tokens a response would read; nothing is computed."""
    caller: str = request.state.caller
    catalogue = context.catalogue
    model = (catalogue.offers[0] if body.model is None else catalogue.offer(body.model)).model
    asked = await read_prompt(body, Stored(context.records, caller), model)
    turn_asked = prompt_request(body, asked, caller, model)
    return InputTokens(input_tokens=await count_tokens(model, turn_asked))


@router.get(
    "/{response_id}",
    response_model=Response,
    responses=streamed("ResponseStream"),
    openapi_extra={
        "parameters": [
            queried("stream", {"type": "boolean"}),
            queried("starting_after", {"type": "integer", "minimum": 0}),
        ]
    },
)
async def retrieve_response(response_id: str, request: Request, context: Served) -> HttpResponse:
    """A stored response, as it is now."""
    stored = Stored(context.records, request.state.caller)
    answer = await background.answer_now(response_id, stored, context)
    if request.query_params.get("stream") == "true":
        start = _starting_after(request)
        events = await background.events_again(response_id, stored, context, start)
        return EventStream(_frames(events), on_end=lambda: None)
    return JSONResponse(answer)


def _starting_after(request: Request) -> int:
    given = request.query_params.get("starting_after", "-1")
    if given != "-1" and not (given.isascii() and given.isdigit() and len(given) < 10):
        message = "starting_after must be the sequence_number of an event."
        raise InvalidRequest(message, param="starting_after", code="invalid_value")
    return int(given) + 1


@router.delete("/{response_id}")
async def delete_response(response_id: str, request: Request, context: Served) -> DeletedResponse:
    """Forgets a response; one that is under way is ended."""
    stored = Stored(context.records, request.state.caller)
    await stored.find("response", response_id)
    await background.end(response_id, stored, context)
    await stored.delete("response", response_id)
    await stored.delete("response.events", response_id)
    return DeletedResponse(id=response_id)


@router.post("/{response_id}/cancel", response_model=Response)
async def cancel_response(response_id: str, request: Request, context: Served) -> HttpResponse:
    """Ends a response in the background; one that has ended stays as it is."""
    stored = Stored(context.records, request.state.caller)
    document = await stored.find("response", response_id)
    if not document["answer"]["background"]:
        message = "Only a response in the background can be cancelled."
        raise InvalidRequest(message, code="invalid_value")
    await background.end(response_id, stored, context)
    return JSONResponse(await background.answer_now(response_id, stored, context))


@router.get("/{response_id}/input_items", openapi_extra=paged())
async def list_input_items(response_id: str, request: Request, context: Served) -> ItemList:
    """What a response was sent, without what it went on from; the newest first."""
    stored = Stored(context.records, request.state.caller)
    document = await stored.find("response", response_id)
    return item_page(request, document["input"])
