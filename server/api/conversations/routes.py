"""/v1/conversations, and the items of each."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from server.api.context import Context, Served
from server.api.fields import ListOf, Wire
from server.api.items import Item, ItemReader, MetadataField, kept_items, new_id
from server.api.items.fields import InputItem, ReferenceItem
from server.api.items.ids import PREFIXES
from server.api.items.page import ItemList, item_page
from server.api.items.types import AnyItem
from server.api.outgoing import ClosedModel, ToldAs
from server.api.pages import paged
from server.api.stored import Conversations, Stored
from server.api.strict_json import JsonRoute
from server.errors import InvalidRequest, NotFound
from server.records import Document

router = APIRouter(prefix="/v1/conversations", route_class=JsonRoute, tags=["conversations"])


class Conversation(ClosedModel):
    """A conversation; its items are asked for apart."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class DeletedConversation(ClosedModel):
    """A conversation that is no longer there."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


Items = Annotated[ListOf[InputItem], Field(max_length=20)]


class ConversationBody(Wire):
    """What a conversation begins with."""

    items: Items | None = None
    metadata: MetadataField | None = None


class ConversationUpdateBody(Wire):
    """metadata takes the place of what was there; null leaves none."""

    metadata: MetadataField | None


class ItemsBody(Wire):
    """Items to be added; include is taken without meaning: nothing is left out of them."""

    items: Annotated[Items, Field(min_length=1)]
    include: ListOf[str] | None = None


def _conversations(request: Request, context: Context) -> Conversations:
    return Conversations(Stored(context.records, request.state.caller))


def _described(document: Document) -> Conversation:
    return Conversation(**document["conversation"])


def _read(items: list[Any], before: list[Item] | None = None) -> list[Item]:
    """As they are kept. Raises InvalidRequest for what cannot go on from the items before."""
    for number, item in enumerate(items):
        if isinstance(item, ReferenceItem):
            param = f"items.{number}.type"
            message = f"{param}: an item of a conversation has to be there whole."
            raise InvalidRequest(message, param=param, code="invalid_value")
    read = kept_items(items, lambda kind, _: new_id(PREFIXES[kind]), {})
    reader = ItemReader()
    reader.read(before or [], "conversation")
    reader.read(read, "items", numbered=True)
    return read


@router.post("")
async def create_conversation(
    request: Request, context: Served, body: ConversationBody | None = None
) -> Conversation:
    """Begins a conversation."""
    given = body or ConversationBody()
    items = _read(given.items or [])
    conversations = _conversations(request, context)
    return _described(await conversations.create(given.metadata or {}, items))


@router.get("/{conversation_id}")
async def retrieve_conversation(
    conversation_id: str, request: Request, context: Served
) -> Conversation:
    """One conversation, without its items."""
    return _described(await _conversations(request, context).find(conversation_id))


@router.post("/{conversation_id}")
async def update_conversation(
    conversation_id: str, body: ConversationUpdateBody, request: Request, context: Served
) -> Conversation:
    """Gives a conversation other metadata."""
    conversations = _conversations(request, context)
    return _described(await conversations.set_metadata(conversation_id, body.metadata or {}))


@router.delete("/{conversation_id}")
async def delete_conversation(
    conversation_id: str, request: Request, context: Served
) -> DeletedConversation:
    """Forgets a conversation and its items."""
    await _conversations(request, context).delete(conversation_id)
    return DeletedConversation(id=conversation_id)


@router.get("/{conversation_id}/items", openapi_extra=paged())
async def list_items(conversation_id: str, request: Request, context: Served) -> ItemList:
    """The items of a conversation, the newest first."""
    document = await _conversations(request, context).find(conversation_id)
    return item_page(request, document["items"])


@router.post("/{conversation_id}/items")
async def create_items(
    conversation_id: str, body: ItemsBody, request: Request, context: Served
) -> ItemList:
    """Adds items to the end of a conversation, and tells how they are kept."""
    conversations = _conversations(request, context)
    document = await conversations.find(conversation_id)
    items = _read(list(body.items), document["items"])
    await conversations.add(conversation_id, items)
    return ItemList(data=items, first_id=items[0]["id"], last_id=items[-1]["id"], has_more=False)


@router.get("/{conversation_id}/items/{item_id}")
async def retrieve_item(
    conversation_id: str, item_id: str, request: Request, context: Served
) -> Annotated[Item, ToldAs(AnyItem)]:
    """One item."""
    return await _item(_conversations(request, context), conversation_id, item_id)


@router.delete("/{conversation_id}/items/{item_id}")
async def delete_item(
    conversation_id: str, item_id: str, request: Request, context: Served
) -> Conversation:
    """Takes an item out of a conversation."""
    conversations = _conversations(request, context)
    await _item(conversations, conversation_id, item_id)
    return _described(await conversations.remove(conversation_id, item_id))


async def _item(conversations: Conversations, conversation: str, id: str) -> Item:
    document = await conversations.find(conversation)
    for item in document["items"]:
        if item["id"] == id:
            found: Item = item
            return found
    message = f"There is no item {id[:80]!r} in this conversation."
    raise NotFound(message, code="item_not_found")
