"""Finds the longest known prefix of a conversation, or of a text, and keeps new ones."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from server.engine.snapshot import Snapshot
from server.errors import NotComplete
from server.session.archive import Archive
from server.session.entry import Entry, Owner, owner_name
from server.session.flights import Flight, Flights
from server.session.home import HomeError, News
from server.session.ids import KnownLengths
from server.session.keys import Key, id_keys
from server.session.pins import Pins
from server.session.store import SnapshotStore

_NOT_COMPLETE = "The index of what is kept is being made anew; conversations go on meanwhile."


@dataclass(frozen=True, slots=True)
class Resumption:
    """The snapshot a prompt continues from; it covers the first `segments` of the prompt."""

    snapshot: Snapshot | None = None
    segments: int = 0

    @property
    def tokens(self) -> int:
        return self.snapshot.tokens if self.snapshot else 0


class SessionManager:
    """The conversations of all callers, as snapshots under the keys of their prefixes.

    In memory, and in the archive if there is one. Belongs to one event loop. gone: called when
    some were deleted, here or by another server.
    """

    def __init__(self, store: SnapshotStore, archive: Archive | None = None) -> None:
        self._store = store
        self._archive = archive
        self._lengths = KnownLengths()
        self._flights = Flights()
        self.gone: Callable[[], object] = lambda: None

    def follow(self) -> None:
        """From now on forget what other servers delete in a shared store, and unpin likewise."""
        if self._archive is not None:
            self._archive.hear = partial(self._told, asyncio.get_running_loop())

    def _told(self, loop: asyncio.AbstractEventLoop, news: News) -> None:
        """Called in the writer thread."""
        with suppress(RuntimeError):  # the loop is closed, and memory goes with it
            loop.call_soon_threadsafe(self._hear, news)

    def _hear(self, news: News) -> None:
        if news.gone:
            # Who deleted them does not know of what only memory here has.
            self._store.delete([*news.gone, *self._store.beyond(news.gone)])
            self.gone()
        for key in news.unpinned:
            self._store.pin(key, False)

    def recall(self, keys: Sequence[Key | None]) -> Resumption:
        """The longest prefix in memory; keys name the prompt up to the end of each segment."""
        for number in range(len(keys), 0, -1):
            key = keys[number - 1]
            snapshot = self._store.get(key) if key is not None else None
            if snapshot is not None:
                if self._archive is not None and key is not None:
                    self._archive.touch(key)
                return Resumption(snapshot, number)
        return Resumption()

    async def resume(self, keys: Sequence[Key | None]) -> Resumption:
        """The longest kept prefix. Waits for one that is being read right now."""
        found = await self._fetched(keys)
        while (flight := self._flights.first(reversed(keys[found.segments :]))) is not None:
            await flight.wait()
            found = await self._fetched(keys)
        return found

    def reading(self, keys: Sequence[Key]) -> Flight:
        """From now to the end of the block these are being made, and others wait for them."""
        return self._flights.flying(keys)

    def keep(
        self,
        owner: Owner,
        key: Key,
        snapshot: Snapshot,
        parent: Key | None,
        *,
        turns: int = 0,
        plain: bool = False,
        path: bytes = b"",
        durable: bool = True,
    ) -> None:
        """Keep a snapshot that continues the one of `parent`; durable: in the archive too."""
        fingerprint, caller = owner
        entry = Entry(
            key,
            parent,
            fingerprint,
            owner_name(caller),
            snapshot.tokens,
            turns,
            plain,
            used=time.time(),
            path=path,
        )
        self._store.put(entry, snapshot)
        self._flights.landed(key)
        if self._archive is not None and durable:
            self._archive.put(entry, snapshot)

    async def kept(self) -> None:
        """Everything kept so far would survive the end of this process."""
        if self._archive is not None:
            await self._archive.written()

    async def resume_ids(self, owner: Owner, ids: Sequence[int]) -> Snapshot | None:
        """The snapshot of the longest kept prefix of a text that is no conversation."""
        await self._learn_lengths(owner)
        lengths = self._lengths.up_to(owner, len(ids))
        if lengths[-1:] != [len(ids)]:
            lengths.append(len(ids))  # which may be being read
        return (await self.resume(list(id_keys(owner, ids, lengths)))).snapshot

    def reading_ids(self, owner: Owner, texts: Iterable[Sequence[int]]) -> Flight:
        """As reading(), for whole texts."""
        return self.reading([next(id_keys(owner, ids, [len(ids)])) for ids in texts])

    def keep_ids(self, owner: Owner, snapshot: Snapshot, parent: int) -> None:
        """Keep a snapshot that continues the one of its first `parent` ids, if there are any."""
        ids = snapshot.fed.to_array()
        *before, key = id_keys(owner, ids, [parent, len(ids)] if parent else [len(ids)])
        self._lengths.note(owner, len(ids))
        self.keep(owner, key, snapshot, before[0] if before else None, plain=True)

    async def pins(self, keys: Sequence[Key]) -> list[Pins]:
        """What is pinned by all callers, and what these would add, in every tier."""
        far = await self._archive.pins(keys) if self._archive is not None else []
        return [self._store.pins(keys), *far]

    async def entries(self, caller: str, *, every_home: bool = False) -> list[Entry]:
        """All that is kept of a caller's, once each, the most recently used first.

        The tier is the nearest that has it; it is pinned where it is in any, and used when it was
        in any. Reads the indexes of all tiers. every_home: see Archive.entries. Raises NotComplete
        while one does not know of everything yet.
        """
        if self._archive is not None and not await self._archive.complete():
            raise NotComplete(_NOT_COMPLETE, retry_after_s=5, code="index_not_complete")
        owner = owner_name(caller)
        far: list[Entry] = []
        if self._archive is not None:
            await self._archive.caught_up()
            far = await self._archive.entries(owner, every_home=every_home)
        every: dict[Key, Entry] = {}
        for entry in (*self._store.entries(owner), *far):  # the nearest first
            near = every.setdefault(entry.key, entry)
            used, pinned = max(near.used, entry.used), near.pinned or entry.pinned
            every[entry.key] = replace(near, used=used, pinned=pinned)
        return sorted(every.values(), key=lambda entry: -entry.used)

    async def load(self, caller: str, key: Key) -> tuple[Entry, Snapshot] | None:
        """One of a caller's snapshots, to fork, export or continue; None if it has none such."""
        entry, snapshot = self._store.entry(key), self._store.get(key)
        found = (entry, snapshot) if entry is not None and snapshot is not None else None
        if found is None and self._archive is not None:
            found = await self._archive.find([key])
        return found if found is not None and found[0].owner == owner_name(caller) else None

    async def pin(self, caller: str, key: Key, pinned: bool) -> bool:
        """Keep a snapshot from being evicted and from ageing; False if the caller has none such."""
        if await self.load(caller, key) is None:
            return False
        self._store.pin(key, pinned)
        if self._archive is not None:
            self._archive.pin(key, pinned)
            await self._archive.written()
        return True

    async def delete(self, caller: str, keys: Iterable[Key]) -> list[Key]:
        """Forget those of the keys that are the caller's, in every tier; returns them.

        Raises NotComplete, and HomeError where that cannot be done in a tier now.
        """
        known = {entry.key for entry in await self.entries(caller, every_home=True)}
        mine = [key for key in keys if key in known]
        self._store.delete(mine)
        if self._archive is not None and mine and not await self._archive.delete(mine):
            raise HomeError("an archive cannot delete now")
        self.gone()
        return mine

    async def _fetched(self, keys: Sequence[Key | None]) -> Resumption:
        """The longest prefix in any tier; one from the archive is in memory from now on."""
        near = self.recall(keys)
        unread = enumerate(keys[near.segments :], near.segments + 1)
        further = {key: number for number, key in unread if key is not None}
        if self._archive is None or not further:
            return near
        found = await self._archive.find(list(reversed(further)))
        if found is None:
            return near
        entry, snapshot = found
        self._store.put(entry, snapshot)
        self._archive.touch(entry.key)
        return Resumption(snapshot, further[entry.key])

    async def _learn_lengths(self, owner: Owner) -> None:
        """Of texts that an earlier process kept, or another server."""
        if self._archive is None:
            return
        for length in await self._archive.lengths(owner[0], owner_name(owner[1])):
            self._lengths.note(owner, length)
