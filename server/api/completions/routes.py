"""POST /v1/completions."""

from fastapi import APIRouter, Request, Response

from server.api.answers import answer_stream, answer_whole, find_service, streamed
from server.api.completions.answer import CompletionWriter, TextCompletion
from server.api.completions.request import CompletionBody, completion_request
from server.api.context import Served
from server.api.priority import priority_of
from server.api.streams import framed
from server.api.strict_json import JsonRoute

router = APIRouter(route_class=JsonRoute, tags=["completions"])


@router.post("/v1/completions", response_model=TextCompletion, responses=streamed("TextStream"))
async def create_completion(
    body: CompletionBody, request: Request, context: Served
) -> Response | TextCompletion:
    """Continues texts or token ids, without a chat template."""
    service = await find_service(context, body.model)
    model, seconds = service.model, context.request_timeout_s
    asked = completion_request(
        body,
        caller=request.state.caller,
        vocab_size=model.spec.vocab_size,
        template=model.template,
        priority=priority_of(request, body.priority),
    )
    completion = await service.completions.start(asked)
    writer = CompletionWriter(body, completion, model)
    if not body.stream:
        return await answer_whole(request, completion, seconds, writer.whole())
    return await answer_stream(
        request, completion, seconds, lambda events: framed(writer.frames(events))
    )
