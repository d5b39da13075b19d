"""Conversations that are kept by the server, and what is added to them."""

import logging
import time
from collections.abc import Iterable, Sequence

from server.api.items import Item, new_id
from server.api.stored.documents import Stored
from server.errors import InvalidRequest, NotFound, RequestError
from server.records import Document, Edit, TooLarge, packed

log = logging.getLogger(__name__)

_TOO_LARGE = "The conversation is larger than what this server keeps for all of them."


class Conversations:
    """Of one caller. A document has `conversation`, as it goes out, and its `items`."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    async def create(
        self, metadata: dict[str, str], items: Sequence[Item], **made_of: str
    ) -> Document:
        """A new one; made_of: the `session` that it was made of and goes with, by its id, and the
        fingerprint of the `model` that this belongs to.

        Raises InvalidRequest if it is too large to be kept.
        """
        id = new_id("conv")
        about = {
            "id": id,
            "object": "conversation",
            "created_at": int(time.time()),
            "metadata": metadata,
        }
        document: Document = {"conversation": about, "items": list(items), **made_of}
        if not await self._stored.keep("conversation", id, document):
            raise _too_large()
        return document

    async def find(self, id: str, param: str | None = None) -> Document:
        """Raises NotFound."""
        return await self._stored.find("conversation", id, param)

    async def add(self, id: str, items: Iterable[Item]) -> Document:
        """Items behind those that are there; one that is there already stays where it is.

        Raises NotFound, and InvalidRequest if it would become too large to be kept.
        """
        return await self._edit(id, Edit("add", ("items",), list(items)))

    def check_room(self, id: str, items: Sequence[Item]) -> None:
        """Of a conversation that was found. Raises InvalidRequest where items do not fit."""
        if len(packed(items)) > self._stored.room("conversation", id):
            raise _too_large("conversation")

    async def add_answer(self, id: str, items: Sequence[Item]) -> bool:
        """What was asked and answered, both or neither.

        The answer was given by then, so nothing is raised where they cannot be kept: it is False.
        """
        try:
            await self.add(id, items)
            return True
        except NotFound:
            log.debug("a conversation was deleted while it was answered")
        except RequestError as error:
            log.warning("an answer is no part of its conversation %s: %s", id, error.message)
        return False

    async def set_metadata(self, id: str, metadata: dict[str, str]) -> Document:
        """Raises NotFound."""
        return await self._edit(id, Edit("set", ("conversation", "metadata"), metadata))

    async def set_items(self, id: str, items: Sequence[Item]) -> Document:
        """These in place of what was there. Raises NotFound."""
        return await self._edit(id, Edit("set", ("items",), list(items)))

    async def remove(self, id: str, item: str) -> Document:
        """Without an item. Raises NotFound if the conversation is not there."""
        return await self._edit(id, Edit("remove", ("items",), item))

    async def delete(self, id: str) -> None:
        """Raises NotFound."""
        await self.find(id)
        await self._stored.delete("conversation", id)

    async def _edit(self, id: str, edit: Edit) -> Document:
        try:
            return await self._stored.edit("conversation", id, edit)
        except TooLarge as error:
            raise _too_large() from error


def _too_large(param: str | None = None) -> InvalidRequest:
    return InvalidRequest(_TOO_LARGE, param=param, code="invalid_value")
