"""What every store of documents does."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from server.records.edit import Edit

# A JSON object. What a store gives out is a copy: changing it changes nothing that is kept.
Document = dict[str, Any]
Name = tuple[str, str, str]  # owner, kind, id


class TooLarge(Exception):
    """A document that an edit would make larger than what is kept; it stays as it was."""


class Records(Protocol):
    """JSON objects by owner, kind and id; an owner finds nothing of another's.

    put takes effect at once and never waits, so that it can stand where an answer is being broken
    off; what has to be written somewhere slow is written later. The rest may wait. No document is
    ever found in part; one that was put can be lost only as a whole.

    Several servers may have the same documents. Where they cannot be reached, each goes on with
    those it has itself, and raises ArchiveUnavailable for what would be wrong without the others.
    """

    @property
    def server(self) -> str:
        """The name of this server, from its start to its end."""
        ...

    def put(self, owner: str, kind: str, id: str, document: Mapping[str, Any]) -> bool:
        """Keep a document in place of the one of that id; False if it is too large to be kept."""
        ...

    async def written(self, owner: str, kind: str, id: str) -> None:
        """What was put is found by every server, as well as that can be done now."""
        ...

    async def get(self, owner: str, kind: str, id: str) -> Document | None: ...

    async def edit(self, owner: str, kind: str, id: str, *edits: Edit) -> Document | None:
        """The document, changed; whoever else changes it meanwhile is not undone.

        Raises TooLarge.
        """
        ...

    def fits(self, document: Mapping[str, Any]) -> bool:
        """It is not too large to be kept."""
        ...

    def room(self, owner: str, kind: str, id: str) -> int:
        """By how many bytes a document that is near may grow; does not wait."""
        ...

    async def delete(self, owner: str, kind: str, id: str) -> None:
        """Forget a document, if there is one; nothing of it is left, on no server."""
        ...

    async def list(self, owner: str, kind: str, *, whole: bool = False) -> Sequence[Document]:
        """All of a kind, in the order in which their ids were first put; whole: or none at all."""
        ...

    async def elsewhere(self, server: str) -> bool:
        """This is another server, and it runs."""
        ...


def packed(document: Mapping[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
