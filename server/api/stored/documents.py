"""A caller's documents, found or said to be missing."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from server.api.items import Item
from server.errors import NotFound
from server.records import Document, Records

Kind = Literal["response", "chat.completion", "conversation", "response.events"]


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
            name = kind.replace(".", " ")
            message = f"There is no stored {name} {id[:80]!r}."
            raise NotFound(message, param=param, code=f"{name.replace(' ', '_')}_not_found")
        return document

    async def answer(self, id: str, param: str) -> Document:
        """A response or a chat completion. Raises NotFound."""
        kind: Kind = "chat.completion" if id.startswith("chatcmpl-") else "response"
        return await self.find(kind, id, param)

    async def list(self, kind: Kind) -> Sequence[Document]:
        """The oldest first."""
        return await self.records.list(self.owner, kind)

    def put(self, kind: Kind, id: str, document: Mapping[str, Any]) -> bool:
        """False for one that is too large to be kept."""
        return self.records.put(self.owner, kind, id, document)

    def delete(self, kind: Kind, id: str) -> None:
        self.records.delete(self.owner, kind, id)


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
