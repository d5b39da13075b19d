"""Snapshots in a folder, one file each (folder.py), found again after a restart.

    index.sqlite3           made from the files, and anew whenever it does not fit them

A file is found by its name. The index says who owns what and what goes first; it is compared with
the files beside everything else, and is complete when that is over.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

from server.session.entry import Entry
from server.session.folder import StateFolder, saying
from server.session.home import Contents, HomeError
from server.session.index import Index
from server.session.keys import Key
from server.session.pins import Pins
from server.session.reconcile import Describe, Reconciling
from server.session.tensors import Parts, length
from server.threads import DaemonPool

_SWEEP_S = 60.0
_DAY_S = 86400.0
_WRITERS = 8
_STEP_S = 0.02  # of comparing, during which nothing is written


class DiskHome:
    """Holds budget_bytes at most, in whole blocks of the file system, for `days` after the last
    use (0: for ever). What its index does not know yet counts from when it is complete.

    sync_interval_s: 0 syncs every batch before put returns; else files are whole at once, and
    synced at most that much later. describe: what a file was kept as, for a new index.
    Whoever makes it holds the folder (FolderLock). Raises HomeError if it cannot be used.
    """

    tier = "disk"

    def __init__(
        self,
        folder: Path,
        budget_bytes: int,
        *,
        describe: Describe,
        days: float = 0.0,
        sync_interval_s: float = 0.0,
    ) -> None:
        self._budget, self._days, self._interval = budget_bytes, days, sync_interval_s
        self._evicted = self._pinned = 0
        self._swept = time.monotonic()
        self._files = StateFolder(folder, sync_interval_s)
        with saying("cannot be used"):
            self._index = Index(folder / "index.sqlite3")
        self._reconciling = Reconciling(self._files, self._index, describe)
        self._writers = DaemonPool(_WRITERS, "archive-write")

    @property
    def complete(self) -> bool:
        return self._reconciling.over

    def put(self, batch: Sequence[tuple[Entry, Parts]]) -> None:
        group: list[tuple[Entry, Parts]] = []
        for entry, parts in self._fitting(batch):
            if group and _taken([*group, (entry, parts)]) > self._budget // 4:
                self._put(group)
                group = []
            group.append((entry, parts))
        if group:
            self._put(group)
        if not self._interval:
            self._files.sync(self._writers)

    def _fitting(self, batch: Sequence[tuple[Entry, Parts]]) -> Iterator[tuple[Entry, Parts]]:
        """With the room that each takes; of what is there twice, the last."""
        for entry, parts in {entry.key: (entry, parts) for entry, parts in batch}.values():
            taken = self._files.takes(length(parts))
            if taken <= self._budget:
                yield replace(entry, nbytes=taken), parts

    def _put(self, group: Sequence[tuple[Entry, Parts]]) -> None:
        """Their files are written and synced at the same time, which a disk does in one go."""
        self._evict(_taken(group))
        writing = [self._writers.submit(self._files.write, e.key, parts) for e, parts in group]
        wait(writing)
        done = [e for (e, _), it in zip(group, writing, strict=True) if it.exception() is None]
        try:
            self._index.put(done)
        except HomeError:
            self._forget([entry.key for entry in done])
            raise
        with saying("cannot be written"):
            for it in writing:
                it.result()

    def _forget(self, keys: Sequence[Key]) -> None:
        """Files that no index knows would never go, once it is complete."""
        known = self._index.sizes(keys)
        for key in keys:
            if self.complete and key not in known:
                self._files.delete(key)

    def lacks(self, keys: Sequence[Key]) -> bool:
        return self.complete and self._files.names.isdisjoint(keys)

    def find(self, keys: Sequence[Key]) -> tuple[Key, bytes] | None:
        for key in keys:
            if (data := self._files.read(key)) is not None:
                return key, data
        return None

    def lengths(self, fingerprint: str, owner: str) -> list[int]:
        return self._index.lengths(fingerprint, owner)

    def entries(self, owner: str) -> list[Entry]:
        return self._index.entries(owner)

    def touch(self, keys: Iterable[Key]) -> None:
        keys = list(keys)
        if not self.complete:  # one that the index is yet to know is dated by its file
            for key in keys:
                self._files.used(key)
        self._index.touch(keys)

    def pin(self, key: Key, pinned: bool) -> None:
        if self._files.pin(key, pinned):
            self._index.pin(key, pinned)
            self._pinned = self._index.pinned_nbytes()

    def pins(self, keys: Sequence[Key]) -> Pins:
        added = self._index.unpinned_nbytes(keys)
        return Pins(self.tier, self._index.pinned_nbytes(), added, self._budget)

    def delete(self, keys: Iterable[Key]) -> None:
        """Also what the index is yet to know."""
        keys = list(keys)
        for key in keys:
            self._files.delete(key)
        self._index.delete(keys)
        self._pinned = self._index.pinned_nbytes()

    def tidy(self) -> bool:
        if self._files.sync_due:
            self._files.sync(self._writers)
        if not self.complete:
            if not self._reconciling.go_on(_STEP_S):
                return True
            self._pinned = self._index.pinned_nbytes()
            self._evict(0)
            self._sweep()
        elif time.monotonic() - self._swept >= _SWEEP_S:
            self._sweep()
        return False

    def contents(self) -> Contents:
        return Contents(self._index.count, self._index.nbytes, self._evicted, self._pinned)

    def close(self) -> None:
        try:
            self._files.sync(self._writers)
        finally:
            self._writers.shutdown()
            self._index.close()

    def _evict(self, room: int) -> None:
        """Until `room` more bytes fit."""
        while self._index.nbytes + room > self._budget:
            cheapest, freed = [], 0
            for key, nbytes in self._index.cheapest(64):
                if self._index.nbytes - freed + room <= self._budget:
                    break
                cheapest.append(key)
                freed += nbytes
            if not cheapest:
                raise HomeError("is full of pinned conversations")
            self.delete(cheapest)
            self._evicted += len(cheapest)

    def _sweep(self) -> None:
        self._swept = time.monotonic()
        if self._days:
            old = self._index.older(time.time() - self._days * _DAY_S)
            self.delete(old)
            self._evicted += len(old)


def _taken(group: Sequence[tuple[Entry, Parts]]) -> int:
    return sum(entry.nbytes for entry, _ in group)
