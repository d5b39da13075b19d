"""A caller's documents, found or said to be missing."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from server.api.items import Item, in_form
from server.errors import InvalidRequest, NotFound
from server.records import Document, Edit, Records

Kind = Literal["response", "chat.completion", "conversation", "response.events", "response.cancel"]
_GIVEN = ("input", "items")  # where a document has items that a caller sent


class Stored:
    """The documents of one caller.

    An answer, be it a response or a chat completion, is kept as `answer` beside its `input` and
    `output` items, and what it went on from: `previous`, an id, or `conversation`, another.
    """

    def __init__(self, records: Records, owner: str) -> None:
        self.records = records
        self.owner = owner

    async def find(self, kind: Kind, id: str, param: str | None = None) -> Document:
        """Raises NotFound, also for what is another caller's."""
        document = await self.records.get(self.owner, kind, id)
        if document is None:
            raise _not_found(kind, id, param)
        given = [place for place in _GIVEN if place in document]
        return document | {place: [in_form(item) for item in document[place]] for place in given}

    async def answer(self, id: str, param: str) -> Document:
        """A response or a chat completion. Raises NotFound."""
        kind: Kind = "chat.completion" if id.startswith("chatcmpl-") else "response"
        return await self.find(kind, id, param)

    async def list(self, kind: Kind, *, whole: bool = False) -> Sequence[Document]:
        """The oldest first; whole: of all servers. Raises ArchiveUnavailable then."""
        return await self.records.list(self.owner, kind, whole=whole)

    def put(self, kind: Kind, id: str, document: Mapping[str, Any]) -> bool:
        """False for one that is too large to be kept. Does not wait."""
        return self.records.put(self.owner, kind, id, document)

    async def written(self, kind: Kind, id: str) -> None:
        """What was put is found by every server."""
        await self.records.written(self.owner, kind, id)

    async def keep(self, kind: Kind, id: str, document: Mapping[str, Any]) -> bool:
        """put and written."""
        kept = self.put(kind, id, document)
        await self.written(kind, id)
        return kept

    def fits(self, document: Mapping[str, Any]) -> bool:
        """It is not too large to be kept."""
        return self.records.fits(document)

    def room(self, kind: Kind, id: str) -> int:
        """By how many bytes a document that was found may grow."""
        return self.records.room(self.owner, kind, id)

    async def edit(self, kind: Kind, id: str, *edits: Edit) -> Document:
        """Changed. Raises NotFound, and TooLarge."""
        document = await self.records.edit(self.owner, kind, id, *edits)
        if document is None:
            raise _not_found(kind, id)
        return document

    async def delete(self, kind: Kind, id: str) -> None:
        """On every server. Raises ArchiveUnavailable."""
        await self.records.delete(self.owner, kind, id)


def too_large_to_store() -> InvalidRequest:
    """Of a request that insists on being stored."""
    message = "The request is larger than what this server keeps of one; leave store out."
    return InvalidRequest(message, param="store", code="invalid_value")


def _not_found(kind: Kind, id: str, param: str | None = None) -> NotFound:
    name = kind.replace(".", " ")
    message = f"There is no stored {name} {id[:80]!r}."
    return NotFound(message, param=param, code=f"{name.replace(' ', '_')}_not_found")


def kept_answer(
    answer: Mapping[str, Any],
    given: Sequence[Item],
    output: Sequence[Item],
    previous: str | None,
    conversation: str | None,
) -> Document:
    """An answer as a document."""
    return {
        "answer": dict(answer),
        "input": list(given),
        "output": list(output),
        "previous": previous,
        "conversation": conversation,
    }
