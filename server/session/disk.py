"""Snapshots in a folder, one file each, found again after a restart.

    states/ab/abcd….state   named by the key, whose first byte names the folder
    states/ab/abcd….pin     beside it while it is pinned
    new/                    what is being written: nothing there is ever read
    index.sqlite3           made from the files, and anew whenever it does not fit them

A file is written under another name, synced and renamed, and its folder is synced: at any instant
there is a whole file or none.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from server.session.entry import Entry
from server.session.home import Contents, HomeError
from server.session.index import Index
from server.session.keys import Key
from server.session.pins import Pins

_STATE, _PIN = ".state", ".pin"
_SWEEP_S = 60.0
_DAY_S = 86400.0
_WRITERS = 8
_BLOCK = 4096  # bytes, where the system does not say

Describe = Callable[[Key, bytes], Entry]  # raises ValueError


class DiskHome:
    """Holds budget_bytes at most, in whole blocks of the file system, for `days` after the last
    use (0: for ever).

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
        self._folder, self._budget, self._days = folder, budget_bytes, days
        self._interval = sync_interval_s
        self._describe = describe
        self._evicted = self._pinned = 0
        self._swept = self._synced = time.monotonic()
        self._unsynced: set[Path] = set()
        self._writers = ThreadPoolExecutor(_WRITERS, "archive-write")
        with _saying("cannot be used"):
            _make(folder)
            self._block = os.statvfs(folder).f_frsize if hasattr(os, "statvfs") else _BLOCK
            self._prepare()

    def _prepare(self) -> None:
        self._new = self._folder / "new"
        _make(self._new)
        for left in self._new.iterdir():
            left.unlink()
        _make(self._folder / "states")
        for number in range(256):
            _make(self._folder / "states" / f"{number:02x}")
        self._index = Index(self._folder / "index.sqlite3")
        self._reconcile()
        self._evict(0)
        self._sweep()

    def put(self, batch: Sequence[tuple[Entry, bytes]]) -> None:
        fitting = {e.key: (e, data) for e, data in batch if self._takes(len(data)) <= self._budget}
        group: list[tuple[Entry, bytes]] = []
        for entry, data in fitting.values():
            if group and self._taken([*group, (entry, data)]) > self._budget // 4:
                self._put(group)
                group = []
            group.append((entry, data))
        if group:
            self._put(group)
        if not self._interval:
            self._sync()

    def _put(self, group: Sequence[tuple[Entry, bytes]]) -> None:
        """Their files are written and synced at the same time, which a disk does in one go."""
        self._evict(self._taken(group))
        writing = [self._writers.submit(self._write, entry.key, data) for entry, data in group]
        wait(writing)
        done = [one for one, it in zip(group, writing, strict=True) if it.exception() is None]
        old = self._index.sizes([entry.key for entry, _ in done])
        try:
            self._index.put(replace(entry, nbytes=self._takes(len(data))) for entry, data in done)
        except HomeError:  # a file that no index knows would never go
            for entry, _ in done:
                if entry.key not in old:
                    self._path(entry.key).unlink(missing_ok=True)
            raise
        self._nbytes += self._taken(done) - sum(old.values())
        self._count += len(done) - len(old)
        with _saying("cannot be written"):
            for it in writing:
                it.result()

    def _taken(self, group: Sequence[tuple[Entry, bytes]]) -> int:
        return sum(self._takes(len(data)) for _, data in group)

    def _takes(self, nbytes: int) -> int:
        """The room of a file of so many bytes, in whole blocks."""
        return -(-nbytes // self._block) * self._block

    def find(self, keys: Sequence[Key]) -> tuple[Key, bytes] | None:
        for key in keys:
            try:
                return key, self._path(key).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise HomeError(f"cannot be read: {error.strerror}") from error
        return None

    def lengths(self, fingerprint: str, owner: str) -> list[int]:
        return self._index.lengths(fingerprint, owner)

    def entries(self, owner: str) -> list[Entry]:
        return self._index.entries(owner)

    def touch(self, keys: Iterable[Key]) -> None:
        self._index.touch(keys)

    def pin(self, key: Key, pinned: bool) -> None:
        if not self._path(key).exists():
            return
        mark = self._path(key).with_suffix(_PIN)
        with _saying("cannot be written"):
            if pinned:
                mark.touch(0o600)
            else:
                mark.unlink(missing_ok=True)
            _sync_folder(mark.parent)
        self._index.pin(key, pinned)
        self._pinned = self._index.pinned_nbytes()

    def pins(self, keys: Sequence[Key]) -> Pins:
        added = self._index.unpinned_nbytes(keys)
        return Pins(self.tier, self._index.pinned_nbytes(), added, self._budget)

    def delete(self, keys: Iterable[Key]) -> None:
        sizes = self._index.sizes(list(keys))
        with _saying("cannot be deleted from"):
            for key in sizes:
                self._path(key).unlink(missing_ok=True)
                self._path(key).with_suffix(_PIN).unlink(missing_ok=True)
        self._index.delete(sizes)
        self._pinned = self._index.pinned_nbytes()
        self._nbytes -= sum(sizes.values())
        self._count -= len(sizes)

    def tidy(self) -> None:
        now = time.monotonic()
        if self._unsynced and now - self._synced >= self._interval:
            self._sync()
        if now - self._swept >= _SWEEP_S:
            self._sweep()

    def contents(self) -> Contents:
        return Contents(self._count, self._nbytes, self._evicted, self._pinned)

    def close(self) -> None:
        try:
            self._sync()
        finally:
            self._writers.shutdown()
            self._index.close()

    def _path(self, key: Key) -> Path:
        name = key.hex()
        return self._folder / "states" / name[:2] / f"{name}{_STATE}"

    def _write(self, key: Key, data: bytes) -> None:
        path = self._path(key)
        new = self._new / path.name
        try:
            with open(new, "wb", opener=_private) as file:
                file.write(data)
                if not self._interval:
                    file.flush()
                    os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        self._unsynced.add(path if self._interval else path.parent)

    def _sync(self) -> None:
        """Files that were not synced before they were renamed, then the folders of all."""
        with _saying("cannot be synced"):
            folders = {path.parent if path.suffix else path for path in self._unsynced}
            for path in self._unsynced - folders:
                with suppress(FileNotFoundError), path.open("rb") as file:
                    os.fsync(file.fileno())
            for folder in folders:
                _sync_folder(folder)
        self._unsynced.clear()
        self._synced = time.monotonic()

    def _evict(self, room: int) -> None:
        """Until `room` more bytes fit."""
        while self._nbytes + room > self._budget:
            cheapest, freed = [], 0
            for key, nbytes in self._index.cheapest(64):
                if self._nbytes - freed + room <= self._budget:
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

    def _reconcile(self) -> None:
        """Make the index say what the files say."""
        known = self._index.all_sizes()
        found: dict[Key, os.DirEntry[str]] = {}
        for folder in os.scandir(self._folder / "states"):
            for file in os.scandir(folder.path):
                name = Path(file.name)
                if name.suffix == _STATE:
                    with suppress(ValueError):
                        found[bytes.fromhex(name.stem)] = file
        self._index.delete(known.keys() - found.keys())
        self._index.put(self._described(key, found[key]) for key in found.keys() - known.keys())
        self._index.round_up(self._block)  # sizes of an index that did not count whole blocks
        sizes = self._index.all_sizes()
        self._count, self._nbytes = len(sizes), sum(sizes.values())
        self._pinned = self._index.pinned_nbytes()

    def _described(self, key: Key, file: os.DirEntry[str]) -> Entry:
        status = file.stat()
        try:
            entry = self._describe(key, Path(file.path).read_bytes())
        except (ValueError, OSError):  # of another version or key: it is left to age
            entry = Entry(key, None, "", "", 0)
        pinned = self._path(key).with_suffix(_PIN).exists()
        return replace(
            entry, nbytes=self._takes(status.st_size), used=status.st_mtime, pinned=pinned
        )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _saying:
    """Turns an OSError into a HomeError."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise HomeError(f"{self._what}: {error.strerror or error}") from error


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # which has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
