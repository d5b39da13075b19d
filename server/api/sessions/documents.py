"""Conversations that were made of sessions: they know which, and go and shrink with it."""

from collections.abc import Sequence
from contextlib import suppress

from server.api.items import Item, ItemReader, message_items, new_id
from server.api.items.ids import PREFIXES
from server.api.stored import Conversations, Stored
from server.chat.told import Told
from server.chat.types import Message
from server.errors import NotFound
from server.records import Document
from server.session.tree import Session, SessionTurn


async def make(stored: Stored, session: Session, turn: SessionTurn, told: Told) -> Document:
    """A conversation of what was said. Raises InvalidRequest if it is too large to be kept."""
    metadata = {"session": session.id, "turn": turn.id}
    origin = {"session": session.id, "model": session.fingerprint}
    return await Conversations(stored).create(metadata, _items(told.messages), **origin)


async def made_of(stored: Stored, session: str) -> list[Document]:
    """All that were made of a session. Raises ArchiveUnavailable where that is not known."""
    every = await stored.list("conversation", whole=True)
    return [one for one in every if one.get("session") == session]


async def forget(stored: Stored, made: Sequence[Document]) -> int:
    """Returns how many."""
    for document in made:
        await stored.delete("conversation", document["conversation"]["id"])
    return len(made)


async def cut_back(stored: Stored, made: Sequence[Document], told: Told) -> None:
    """Those that begin with what was told end with it from now on."""
    length = len(told.messages)
    for document in made:
        reader = ItemReader()
        reader.read(document["items"], "conversation")
        said = reader.messages
        if len(said) > length and _same(said[:length], told.messages):
            with suppress(NotFound):  # it was deleted meanwhile
                id = document["conversation"]["id"]
                await Conversations(stored).set_items(id, _items(told.messages))


def _items(messages: Sequence[Message]) -> list[Item]:
    return message_items(messages, lambda kind, _: new_id(PREFIXES[kind]))


def _same(one: Sequence[Message], other: Sequence[Message]) -> bool:
    return [_plain(message) for message in one] == [_plain(message) for message in other]


def _plain(message: Message) -> tuple[object, ...]:
    calls = [(call.name, call.arguments) for call in message.tool_calls]
    return message.role, message.content.strip(), calls
