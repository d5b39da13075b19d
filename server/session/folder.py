"""The files of a folder of snapshots: written whole or not at all, by name.

    states/ab/abcd….state   named by the key, whose first byte names the folder
    states/ab/abcd….pin     beside it while it is pinned
    new/                    what is being written: nothing there is ever read

A file is written under another name, synced and renamed, and its folder is synced: at any instant
there is a whole file or none.
"""

import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from server.session.home import HomeError
from server.session.keys import Key
from server.session.tensors import Parts

FOLDERS = 256
_STATE, _PIN = ".state", ".pin"
_BLOCK = 4096  # bytes, where the system does not say


class StateFolder:
    """sync_interval_s: 0 syncs a file before it has its name; else it is synced with sync().

    names: of all that was listed or written, and not deleted since.
    Whoever makes it holds the folder (FolderLock). Raises HomeError for what cannot be done.
    """

    def __init__(self, folder: Path, sync_interval_s: float) -> None:
        self._interval = sync_interval_s
        self.names = set[Key]()
        self._unsynced: set[Path] = set()
        self._synced = time.monotonic()
        self._new = folder / "new"
        self._folders = [folder / "states" / f"{number:02x}" for number in range(FOLDERS)]
        with saying("cannot be used"):
            _make(folder)
            self.block = os.statvfs(folder).f_frsize if hasattr(os, "statvfs") else _BLOCK
            _make(self._new)
            for left in self._new.iterdir():
                left.unlink()
            for one in (folder / "states", *self._folders):
                _make(one)

    @property
    def sync_due(self) -> bool:
        return bool(self._unsynced) and time.monotonic() - self._synced >= self._interval

    def takes(self, nbytes: int) -> int:
        """The room of a file of so many bytes, in whole blocks."""
        return -(-nbytes // self.block) * self.block

    def listed(self, number: int) -> set[Key]:
        """What lies in one of the FOLDERS, by the first byte of the keys."""
        found = set[Key]()
        with saying("cannot be read"), os.scandir(self._folders[number]) as files:
            for file in files:
                if file.name.endswith(_STATE):
                    with suppress(ValueError):
                        found.add(bytes.fromhex(file.name.removesuffix(_STATE)))
        self.names |= found
        return found

    def write(self, key: Key, parts: Parts) -> None:
        """From any thread; raises OSError."""
        path = self._path(key)
        new = self._new / path.name
        try:
            with open(new, "wb", buffering=0, opener=_private) as file:
                _write(file, parts)
                if not self._interval:
                    os.fsync(file.fileno())
            new.replace(path)
        except OSError:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            raise
        self.names.add(key)
        self._unsynced.add(path if self._interval else path.parent)

    def sync(self, pool: Executor) -> None:
        """Files that were not synced before they were renamed, then the folders of all, each in
        the pool: what a disk is asked to make sure of at once, it does in one go."""
        with saying("cannot be synced"):
            folders = {path.parent if path.suffix else path for path in self._unsynced}
            for sync, paths in ((_sync_file, self._unsynced - folders), (_sync_folder, folders)):
                syncing = [pool.submit(sync, path) for path in paths]
                for each in syncing:
                    each.result()
        self._unsynced.clear()
        self._synced = time.monotonic()

    def read(self, key: Key) -> bytes | None:
        """None where there is none."""
        try:
            return self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HomeError(f"cannot be read: {error.strerror}") from error

    def status(self, key: Key) -> os.stat_result | None:
        """None where there is none."""
        with saying("cannot be read"), suppress(FileNotFoundError):
            return self._path(key).stat()
        return None

    def open(self, key: Key) -> BinaryIO:
        """Raises OSError."""
        return self._path(key).open("rb")

    def used(self, key: Key) -> None:
        """Dates a file as used now, if there is one."""
        with suppress(OSError):
            os.utime(self._path(key))

    def delete(self, key: Key) -> None:
        """With its pin, if there is one."""
        with saying("cannot be deleted from"):
            self._path(key).unlink(missing_ok=True)
            self._pin(key).unlink(missing_ok=True)
        self.names.discard(key)

    def pinned(self, key: Key) -> bool:
        return self._pin(key).exists()

    def pin(self, key: Key, pinned: bool) -> bool:
        """False where there is no such file."""
        if not self._path(key).exists():
            return False
        mark = self._pin(key)
        with saying("cannot be written"):
            if pinned:
                mark.touch(0o600)
            else:
                mark.unlink(missing_ok=True)
            _sync_folder(mark.parent)
        return True

    def _path(self, key: Key) -> Path:
        return self._folders[key[0]] / f"{key.hex()}{_STATE}"

    def _pin(self, key: Key) -> Path:
        return self._folders[key[0]] / f"{key.hex()}{_PIN}"


class saying:
    """Turns an OSError into a HomeError."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise HomeError(f"{self._what}: {error.strerror or error}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(file: FileIO, parts: Parts) -> None:
    """At once where the system can: every call gives the interpreter away."""
    left = [memoryview(part) for part in parts if len(part)]
    while left:
        written = _write_some(file, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


def _write_some(file: FileIO, parts: Sequence[memoryview]) -> int:
    if hasattr(os, "writev"):
        return os.writev(file.fileno(), parts)
    return file.write(parts[0])


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync_file(path: Path) -> None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # which has no such thing
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
