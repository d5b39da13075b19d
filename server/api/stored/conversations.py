"""Conversations that are kept by the server, and what is added to them."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from weakref import WeakValueDictionary

from server.api.items import Item, new_id
from server.api.stored.documents import Stored
from server.errors import InvalidRequest
from server.records import Document

_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()


class Conversations:
    """Of one caller. A document has `conversation`, as it goes out, and its `items`."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def create(self, metadata: dict[str, str], items: Sequence[Item], **made_of: str) -> Document:
        """A new one; made_of: the `session` that it was made of and goes with, by its id, and the
        fingerprint of the `model` that this belongs to.

        Raises InvalidRequest if it is too large to be kept.
        """
        about = {
            "id": new_id("conv"),
            "object": "conversation",
            "created_at": int(time.time()),
            "metadata": metadata,
        }
        document: Document = {"conversation": about, "items": list(items), **made_of}
        self._put(document)
        return document

    async def find(self, id: str, param: str | None = None) -> Document:
        """Raises NotFound."""
        return await self._stored.find("conversation", id, param)

    async def add(self, id: str, items: Iterable[Item]) -> Document:
        """Items behind those that are there; one that is there already stays where it is.

        Raises NotFound, and InvalidRequest if it becomes too large to be kept.
        """
        async with self._lock(id):
            document = await self.find(id)
            present = {item["id"] for item in document["items"]}
            document["items"] += [item for item in items if item["id"] not in present]
            self._put(document)
        return document

    async def set_metadata(self, id: str, metadata: dict[str, str]) -> Document:
        """Raises NotFound."""
        async with self._lock(id):
            document = await self.find(id)
            document["conversation"]["metadata"] = metadata
            self._put(document)
        return document

    async def remove(self, id: str, item: str) -> Document:
        """Without an item. Raises NotFound if the conversation is not there."""
        async with self._lock(id):
            document = await self.find(id)
            document["items"] = [one for one in document["items"] if one["id"] != item]
            self._put(document)
        return document

    async def delete(self, id: str) -> None:
        """Raises NotFound."""
        async with self._lock(id):
            await self.find(id)
            self._stored.delete("conversation", id)

    def _put(self, document: Document) -> None:
        id = document["conversation"]["id"]
        if not self._stored.put("conversation", id, document):
            message = "The conversation is larger than what this server keeps for all of them."
            raise InvalidRequest(message, code="invalid_value")

    def _lock(self, id: str) -> asyncio.Lock:
        """Held while a document is read, changed and put."""
        return _locks.setdefault((self._stored.owner, id), asyncio.Lock())
