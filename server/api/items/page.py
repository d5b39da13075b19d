"""Items on the wire, page by page."""

from typing import Annotated, Literal

from fastapi import Request

from server.api.items.kept import Item
from server.api.items.types import AnyItem
from server.api.outgoing import ClosedModel, ToldAs
from server.api.pages import page


class ItemList(ClosedModel):
    """A page of items."""

    object: Literal["list"] = "list"
    data: list[Annotated[Item, ToldAs(AnyItem)]]
    first_id: str | None
    last_id: str | None
    has_more: bool


def item_page(request: Request, items: list[Item]) -> ItemList:
    """Of items in the order of their coming, the newest first unless the query wants otherwise."""
    data, more = page(request, items[::-1], lambda item: str(item["id"]), limit=20, most=100)
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return ItemList(data=data, first_id=ends[0], last_id=ends[1], has_more=more)
