"""What a server exchanges with the store of shared documents, and what waits for it meanwhile.

What the store has yet to be told waits here, on disk too, in no order but that of each document.
While the store is away nobody but one who looks for it waits for it.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from server.records.base import Name, TooLarge, packed
from server.records.kept import KeptRecords
from server.records.pending import Pending, load_pending
from server.records.sealing import SealError
from server.records.shared import DocumentStore, Gone
from server.threads import DaemonPool
from server.valkey import Away, Full

log = logging.getLogger(__name__)

_THREADS = 4
_TOGETHER = 64
_LOOK_S = 1.0
_LAST_S = 5.0
_HEARD: Name = ("", "store", "heard")  # under which a note says when the store was last asked
_NOTE_S = 3600.0

T = TypeVar("T")


class Sharing:
    """Belongs to one event loop, from start() to close(); `near` is open by then.

    away: nobody asks the store now. errors: what failed there.
    """

    def __init__(self, near: KeptRecords, store: DocumentStore) -> None:
        self.near, self.store = near, store
        self.away = self._failing = False
        self.errors = 0
        self.pending: dict[Name, Pending] = {}
        self._locks: WeakValueDictionary[Name, asyncio.Lock] = WeakValueDictionary()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._noted = -_NOTE_S

    async def start(self) -> None:
        """Waits until what was deleted meanwhile is forgotten, or the store is away."""
        self._pool = DaemonPool(_THREADS, "documents-shared")
        heard = json.loads(self.near.notes.pop(_HEARD, b'{"at": 0}'))["at"]
        self.pending = {name: load_pending(note) for name, note in self.near.notes.items()}
        with suppress(Away):
            await self._catch_up(heard)
        await self._look()
        self._wake.set()
        self._tasks = [asyncio.create_task(work()) for work in (self._telling, self._looking)]

    async def close(self) -> None:
        """Tells the store what it has yet to be told, unless that takes too long."""
        tasks, self._tasks = self._tasks, []
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(TimeoutError, Away):
            async with asyncio.timeout(_LAST_S):
                await self._tell_all()
                await self.ask(self.store.rest, self.near.server)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def alone(self, name: Name) -> asyncio.Lock:
        """Held by whoever exchanges something about a document with the store."""
        return self._locks.setdefault(name, asyncio.Lock())

    async def ask(self, ask: Callable[..., T], *args: Any) -> T:
        """What a method of the store finds. Raises Away, and what it raises."""
        if self.away:
            raise Away("is away")
        return await self._asked(ask, *args)

    async def change(self, name: Name, pending: Pending) -> bytes | None:
        """What the store has then. Raises as DocumentStore.change, and TooLarge."""
        here = self.near.text(name)

        def onto(there: bytes | None) -> bytes | None:
            wanted = pending.onto(there, here)
            if wanted is not None and not self.near.fits_text(wanted):
                raise TooLarge
            return wanted

        return await self.ask(self.store.change, name, onto)

    def wait(self, name: Name, pending: Pending) -> None:
        """Have the store told, soon or once it is back."""
        earlier = self.pending.get(name)
        self.pending[name] = pending if earlier is None else earlier.then(pending)
        self.near.note(name, self.pending[name].dump())
        self._wake.set()

    async def tell(self, name: Name) -> bool:
        """Tell it now; True if nothing of the document waits then. Needs alone()."""
        pending = self.pending.get(name)
        if pending is None:
            return True
        try:
            if pending.gone:
                await self.ask(self.store.delete, name)
            elif (there := await self.change(name, pending)) and pending is self.pending.get(name):
                self.keep(name, there)
        except Away:
            return False
        except Gone:
            self.near.forget(name)
        except (SealError, TooLarge) as error:
            self.refused(error)
        if pending is self.pending.get(name):  # else it was put again
            self._told(name)
            return True
        return False

    def keep(self, name: Name, text: bytes) -> None:
        """As it is in the store."""
        if self.near.text(name) != text:
            self.near.keep(name, text)

    def forget(self, name: Name) -> None:
        """It was deleted."""
        self._told(name)
        self.near.forget(name)

    async def follow(self) -> None:
        """Forget what others have deleted. Raises Away."""
        deleted = await self._asked(self.store.deleted)
        if not deleted.digests:
            return
        # Those under way too: what they have read may be older than the deletion.
        names = (*self.near.names(), *self._locks, *self.pending)
        for name in await self._asked(deleted.among, names):
            async with self.alone(name):
                self.forget(name)

    def refused(self, error: SealError | TooLarge) -> None:
        """What the store has of a document cannot be used, and is left as it is."""
        self.errors += 1
        log.warning("a stored document cannot be shared: %s", str(error) or "it is too large")

    async def _asked(self, ask: Callable[..., T], *args: Any) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, ask, *args)
        except Away as error:
            self.errors += 1
            self.away = not isinstance(error, Full)
            if not self._failing:
                self._failing = True
                log.warning("stored documents are not shared for now: the store %s", error)
            raise

    def _told(self, name: Name) -> None:
        if self.pending.pop(name, None) is not None:
            self.near.note(name, None)

    async def _telling(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._tell_all()

    async def _tell_all(self) -> None:
        names = list(self.pending)
        for start in range(0, len(names), _TOGETHER):
            told = await asyncio.gather(*map(self._tell_one, names[start : start + _TOGETHER]))
            if not any(told):  # it is away, or full
                return

    async def _tell_one(self, name: Name) -> bool:
        try:
            async with self.alone(name):
                return await self.tell(name)
        except Exception:
            log.exception("a stored document could not be shared")
            self._told(name)
            return True

    async def _looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self._look()
            except Exception:
                log.exception("the store of shared documents could not be followed")

    async def _look(self) -> None:
        """Whether the store is there, and what others have deleted."""
        try:
            await self._asked(self.store.beat, self.near.server)
            await self.follow()
        except Away:
            self._prune()
            return
        self.away = False
        if self.pending:
            self._wake.set()
        elif self._failing:
            self._failing = False
            log.info("stored documents are shared again")
        if time.monotonic() - self._noted > _NOTE_S:
            self._noted = time.monotonic()
            self.near.note(_HEARD, packed({"at": time.time()}))

    def _prune(self) -> None:
        """What had to make room here will not be told."""
        here = set(self.near.names())
        for name in [n for n, one in self.pending.items() if n not in here and not one.gone]:
            self._told(name)

    async def _catch_up(self, heard: float) -> None:
        """After so long that nobody remembers what was deleted, the store alone knows."""
        if not heard or not self.store.ttl_s or time.time() - heard < self.store.ttl_s:
            return
        names = [name for name in self.near.names() if name not in self.pending]
        for start in range(0, len(names), _TOGETHER):
            for name in await self._asked(self.store.lacks, names[start : start + _TOGETHER]):
                self.near.forget(name)
