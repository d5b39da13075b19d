"""Conversations that were made of sessions: they know which, and go and shrink with it."""

from collections.abc import Sequence

from server.api.items import Item, ItemReader, message_items, new_id
from server.api.items.ids import PREFIXES
from server.api.stored import Conversations, Stored
from server.chat.told import Told
from server.chat.types import Message
from server.records import Document
from server.session.tree import Session, SessionTurn


def make(stored: Stored, session: Session, turn: SessionTurn, told: Told) -> Document:
    """A conversation of what was said. Raises InvalidRequest if it is too large to be kept."""
    metadata = {"session": session.id, "turn": turn.id}
    made_of = {"session": session.id, "model": session.fingerprint}
    return Conversations(stored).create(metadata, _items(told.messages), **made_of)


async def forget(stored: Stored, session: str) -> int:
    """All that were made of a session; returns how many."""
    found = [one["conversation"]["id"] for one in await _made(stored, session)]
    for id in found:
        stored.delete("conversation", id)
    return len(found)


async def cut_back(stored: Stored, session: str, told: Told) -> None:
    """Those that begin with what was told end with it from now on."""
    length = len(told.messages)
    for document in await _made(stored, session):
        reader = ItemReader()
        reader.read(document["items"], "conversation")
        said = reader.messages
        if len(said) > length and _same(said[:length], told.messages):
            document["items"] = _items(told.messages)
            stored.put("conversation", document["conversation"]["id"], document)


async def _made(stored: Stored, session: str) -> list[Document]:
    return [one for one in await stored.list("conversation") if one.get("session") == session]


def _items(messages: Sequence[Message]) -> list[Item]:
    return message_items(messages, lambda kind, _: new_id(PREFIXES[kind]))


def _same(one: Sequence[Message], other: Sequence[Message]) -> bool:
    return [_plain(message) for message in one] == [_plain(message) for message in other]


def _plain(message: Message) -> tuple[object, ...]:
    calls = [(call.name, call.arguments) for call in message.tool_calls]
    return message.role, message.content.strip(), calls
