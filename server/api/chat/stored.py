"""Chat completions that were stored: found, listed, renamed and deleted."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request

from server.api.chat.answer import ChatCompletion, ChatCompletionWithIds
from server.api.chat.calls import FunctionCall, MessageCall
from server.api.context import Context, Served
from server.api.fields import Wire
from server.api.items import MetadataField
from server.api.outgoing import LEFT_OUT, ClosedModel, ToldAs
from server.api.pages import page, paged
from server.api.stored import Stored
from server.api.strict_json import JsonRoute
from server.records import Document, Edit

router = APIRouter(prefix="/v1/chat/completions", route_class=JsonRoute, tags=["chat"])


class StoredPart(ClosedModel):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


Completion = Annotated[dict[str, Any], ToldAs(ChatCompletionWithIds | ChatCompletion)]


class CompletionPage(ClosedModel):
    """A page of stored completions."""

    object: Literal["list"] = "list"
    data: list[Completion]
    first_id: str | None
    last_id: str | None
    has_more: bool


class StoredMessage(ClosedModel):
    """A message that a stored completion was asked.

    content: as one string; content_parts: the parts it came in, null where it came as a string.
    Keys that say nothing are left out.
    """

    id: str
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | None
    content_parts: list[StoredPart] | None
    refusal: str | None = None
    name: Annotated[str | None, LEFT_OUT] = None
    tool_calls: Annotated[list[MessageCall] | None, LEFT_OUT] = None
    tool_call_id: Annotated[str | None, LEFT_OUT] = None
    function_call: Annotated[FunctionCall | None, LEFT_OUT] = None


class MessagePage(ClosedModel):
    """A page of the messages that a stored completion was asked."""

    object: Literal["list"] = "list"
    data: list[StoredMessage]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedCompletion(ClosedModel):
    """A completion that is no longer there."""

    id: str
    object: Literal["chat.completion.deleted"] = "chat.completion.deleted"
    deleted: Literal[True] = True


class CompletionUpdateBody(Wire):
    """metadata takes the place of what was there; null leaves none."""

    metadata: MetadataField | None


def _stored(request: Request, context: Context) -> Stored:
    return Stored(context.records, request.state.caller)


def _answer(document: Document) -> Completion:
    answer: Completion = document["answer"]
    return answer


@router.get("", openapi_extra=paged(order="asc"))
async def list_chat_completions(request: Request, context: Served) -> CompletionPage:
    """Stored completions, the oldest first; `model` and `metadata[KEY]` choose among them."""
    documents = await _stored(request, context).list("chat.completion")
    found = [one for one in map(_answer, documents) if _chosen(one, request)]
    data, more = page(
        request, found[::-1], lambda one: str(one["id"]), limit=20, most=100, order="asc"
    )
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return CompletionPage(data=data, first_id=ends[0], last_id=ends[1], has_more=more)


def _chosen(answer: dict[str, Any], request: Request) -> bool:
    query = request.query_params
    if query.get("model", answer["model"]) != answer["model"]:
        return False
    wanted = {
        key.removeprefix("metadata[").removesuffix("]"): value
        for key, value in query.items()
        if key.startswith("metadata[") and key.endswith("]")
    }
    metadata: dict[str, str] = answer["metadata"]
    return wanted.items() <= metadata.items()


@router.get("/{completion_id}")
async def retrieve_chat_completion(
    completion_id: str, request: Request, context: Served
) -> Completion:
    """One of them."""
    document = await _stored(request, context).find("chat.completion", completion_id)
    return _answer(document)


@router.post("/{completion_id}")
async def update_chat_completion(
    completion_id: str, body: CompletionUpdateBody, request: Request, context: Served
) -> Completion:
    """Gives it other metadata."""
    stored = _stored(request, context)
    edit = Edit("set", ("answer", "metadata"), body.metadata or {})
    return _answer(await stored.edit("chat.completion", completion_id, edit))


@router.delete("/{completion_id}")
async def delete_chat_completion(
    completion_id: str, request: Request, context: Served
) -> DeletedCompletion:
    """Forgets it."""
    stored = _stored(request, context)
    await stored.find("chat.completion", completion_id)
    await stored.delete("chat.completion", completion_id)
    return DeletedCompletion(id=completion_id)


@router.get("/{completion_id}/messages", openapi_extra=paged(order="asc"))
async def list_chat_messages(completion_id: str, request: Request, context: Served) -> MessagePage:
    """The messages that it was asked, the oldest first."""
    document = await _stored(request, context).find("chat.completion", completion_id)
    messages = [
        StoredMessage(id=f"{completion_id}-{number}", **message)
        for number, message in enumerate(document["messages"])
    ]
    data, more = page(request, messages[::-1], lambda one: one.id, limit=20, most=100, order="asc")
    ends = (data[0].id, data[-1].id) if data else (None, None)
    return MessagePage(data=data, first_id=ends[0], last_id=ends[1], has_more=more)
