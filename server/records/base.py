"""What every store of documents does."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

# A JSON object. What a store gives out is a copy: changing it changes nothing that is kept.
Document = dict[str, Any]


class Records(Protocol):
    """JSON objects by owner, kind and id; an owner finds nothing of another's.

    put and delete take effect at once and never wait, so that they can stand where an answer is
    being broken off; what has to be written somewhere slow is written later. get and list may
    wait. No document is ever found in part; one that was put can be lost only as a whole.
    """

    def put(self, owner: str, kind: str, id: str, document: Mapping[str, Any]) -> bool:
        """Keep a document in place of the one of that id; False if it is too large to be kept."""
        ...

    async def get(self, owner: str, kind: str, id: str) -> Document | None: ...

    def delete(self, owner: str, kind: str, id: str) -> None:
        """Forget a document, if there is one; nothing of it is left."""
        ...

    async def list(self, owner: str, kind: str) -> Sequence[Document]:
        """All of a kind, in the order in which their ids were first put."""
        ...
