"""Documents that several servers share: the store has them, memory and disk are what is near.

Who asks for a document asks the store, so that what another server has put, changed or deleted
is seen at once. What is near answers only while the store is away, and for what the store has
given up.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from server.errors import ArchiveUnavailable
from server.records.base import Document, Name
from server.records.edit import Edit
from server.records.kept import KeptRecords
from server.records.pending import Pending, stamp_of, stamped, unstamped
from server.records.sealing import SealError
from server.records.shared import DocumentStore, Gone
from server.records.sharing import Sharing
from server.valkey import Away


class SyncedRecords:
    """Belongs to one event loop, between start() and close(); `near` is open by then."""

    def __init__(self, near: KeptRecords, store: DocumentStore) -> None:
        self.server = near.server
        self._near, self._store = near, store
        self._sharing = Sharing(near, store)

    @property
    def waiting(self) -> int:
        """Documents of which the store has yet to be told."""
        return len(self._sharing.pending)

    @property
    def errors(self) -> int:
        """What failed at the store."""
        return self._sharing.errors

    async def start(self) -> None:
        """Waits until what others have deleted is forgotten, or the store is away."""
        await self._sharing.start()

    async def close(self) -> None:
        """What the store has yet to be told it is told, unless that takes too long."""
        await self._sharing.close()

    def put(self, owner: str, kind: str, id: str, document: Mapping[str, Any]) -> bool:
        name = (owner, kind, id)
        before = self._near.text(name)
        kept = self._near.keep(name, stamped(document, stamp_of(before)))
        if kept or before is not None:
            self._sharing.wait(name, Pending(gone=not kept))
        return kept

    async def written(self, owner: str, kind: str, id: str) -> None:
        name = (owner, kind, id)
        async with self._sharing.alone(name):
            await self._sharing.tell(name)

    async def get(self, owner: str, kind: str, id: str) -> Document | None:
        name = (owner, kind, id)
        async with self._sharing.alone(name):
            if not await self._sharing.tell(name):
                return self._without(name)
            with suppress(Away):
                return await self._found(name)
            return self._without(name)

    async def edit(self, owner: str, kind: str, id: str, *edits: Edit) -> Document | None:
        name = (owner, kind, id)
        async with self._sharing.alone(name):
            if await self._sharing.tell(name):
                with suppress(Away):
                    return await self._edited(name, Pending(edits))
            if await self._near.edit(*name, *edits) is None:
                raise _unavailable()
            self._sharing.wait(name, Pending(edits))
            return self._without(name)

    def fits(self, document: Mapping[str, Any]) -> bool:
        return self._near.fits_text(stamped(document))

    def room(self, owner: str, kind: str, id: str) -> int:
        return self._near.room(owner, kind, id)

    async def delete(self, owner: str, kind: str, id: str) -> None:
        name = (owner, kind, id)
        async with self._sharing.alone(name):
            try:
                await self._sharing.ask(self._store.delete, name)
            except Away as error:
                raise _unavailable() from error
            self._sharing.forget(name)

    async def list(self, owner: str, kind: str, *, whole: bool = False) -> Sequence[Document]:
        """What the store has given up first; while it is away, only what is near."""
        near = self._near.names_of
        try:
            for name in self._waiting(owner, kind):
                await self.written(*name)
            there = dict(await self._sharing.ask(self._store.every, owner, kind))
            await self._sharing.follow()
        except Away as error:
            if whole:
                raise _unavailable() from error
            return self._documents(near(owner, kind), {})
        before = [name for name in near(owner, kind) if name not in there]
        since = self._waiting(owner, kind)  # put meanwhile
        return self._documents([*(n for n in before if n not in since), *there, *since], there)

    async def elsewhere(self, server: str) -> bool:
        """True too for another one of which nobody knows now."""
        if server == self.server:
            return False
        try:
            return await self._sharing.ask(self._store.runs, server)
        except Away:
            return True

    async def _found(self, name: Name) -> Document | None:
        try:
            there = await self._sharing.ask(self._store.get, name)
        except Gone:
            self._sharing.forget(name)
            return None
        except SealError as error:
            self._sharing.refused(error)
            return self._here(name)
        here = self._near.text(name)
        if name in self._sharing.pending:  # it was put meanwhile
            return self._here(name)
        if here is not None and (there is None or stamp_of(here) > stamp_of(there)):
            self._sharing.wait(name, Pending())  # the store has lost what it had
            await self._sharing.tell(name)
        elif there is not None:
            self._sharing.keep(name, there)
            return unstamped(there)
        return self._here(name)

    def _here(self, name: Name) -> Document | None:
        text = self._near.text(name)
        return None if text is None else unstamped(text)

    def _without(self, name: Name) -> Document:
        """What there is without the store."""
        document = self._here(name)
        if document is None:
            raise _unavailable()
        return document

    def _waiting(self, owner: str, kind: str) -> Sequence[Name]:
        return [name for name in self._sharing.pending if name[:2] == (owner, kind)]

    def _documents(self, names: Iterable[Name], there: Mapping[Name, bytes]) -> Sequence[Document]:
        """From the store, or from here."""
        texts = (there.get(name) or self._near.text(name) for name in dict.fromkeys(names))
        return [unstamped(text) for text in texts if text is not None]

    async def _edited(self, name: Name, pending: Pending) -> Document | None:
        try:
            there = await self._sharing.change(name, pending)
        except Gone:
            self._sharing.forget(name)
            return None
        except SealError as error:
            self._sharing.refused(error)
            return None
        if there is None:
            return None
        self._sharing.keep(name, there)
        return unstamped(there)


def _unavailable() -> ArchiveUnavailable:
    return ArchiveUnavailable("The store that this server shares with others does not answer.")
