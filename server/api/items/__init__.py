"""Items, the pieces of a conversation in OpenAI's Responses: how they come, are kept and read."""

from server.api.items.fields import InputItem, MetadataField
from server.api.items.ids import item_id, new_id, response_of
from server.api.items.kept import Item, in_form, kept_items, message_items
from server.api.items.read import ItemReader

__all__ = [
    "InputItem",
    "Item",
    "ItemReader",
    "MetadataField",
    "in_form",
    "item_id",
    "kept_items",
    "message_items",
    "new_id",
    "response_of",
]
