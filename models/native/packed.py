"""Packed weights kept in a file, so that the next start maps them instead of packing again.

A file: 8 bytes "RWKVPACK", the length of the header (u64, little-endian), its SHA-256, the header
as JSON, and the tensors as the library packs them, each with a checksum against damage. Whoever
can write such a file decides what a model says, so one that others own or may write to is never
read. What is wrong with a file is said in the log, and it is made again.

A file that is in use is mapped, and must stay as it is: it is written under another name and
renamed, so that a new one takes the place of the old one, which lives on until nobody uses it.
"""

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import shutil
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

LAYOUT = 1  # raise it with every change to how weights are packed
SMALLEST = 50_000_000  # parameters; fewer are packed in less than half a second
_MAGIC = b"RWKVPACK"
_FRONT = struct.Struct("<8sQ32s")
_MOST_HEADER = 16 << 20
_ALIGNED = 64
_BLOCK = 2 << 20  # bytes: a huge page of most processors
_SPARE = 2  # times a file's size that must be free on the disk before it is written
_ABANDONED = 3600  # seconds after which a file that was never finished is deleted


class PackedError(Exception):
    """A file of packed weights that cannot be used; the message ends a sentence about it."""


@dataclass(frozen=True, slots=True)
class Key:
    """What packed weights are of. size, changed: of the checkpoint's file, in bytes and ns."""

    fingerprint: str
    format: str
    size: int
    changed: int
    layout: int = LAYOUT
    byte_order: str = sys.byteorder

    @classmethod
    def of(cls, checkpoint: Path, fingerprint: str, format: str) -> "Key":
        found = checkpoint.stat()
        return cls(fingerprint, format, found.st_size, found.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Blob:
    """A packed tensor in memory; it must stay there for as long as this is used."""

    address: int
    size: int


def folder(setting: str, checkpoint: Path) -> Path | None:
    """Where the packed weights of a checkpoint are kept; None for nowhere.

    setting: off, a folder, or auto: beside the checkpoint, in the cache folder where that cannot
    be written to.
    """
    if setting == "off":
        return None
    if setting != "auto":
        return Path(setting).expanduser()
    if os.access(checkpoint.parent, os.W_OK):
        return checkpoint.parent
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "rwkv-server"


def file_name(checkpoint: Path, key: Key) -> str:
    return f"{checkpoint.stem}-{key.fingerprint[:16]}.{key.format}.packed"


class PackedFile:
    """An open file of packed weights whose header is in order; the tensors are not read yet.

    size: in bytes.
    """

    def __init__(self, path: Path, key: Key) -> None:
        """Raises PackedError; FileNotFoundError where there is none."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            self._file = os.open(path, flags)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise PackedError(f"cannot be opened: {error.strerror}") from error
        try:
            found = os.fstat(self._file)
            _check_owner(found)
            self.size = found.st_size
            self._places = _places(self._header(key))
        except BaseException:
            self.close()
            raise

    def _header(self, key: Key) -> Mapping[str, Any]:
        front = os.pread(self._file, _FRONT.size, 0)
        if len(front) < _FRONT.size:
            raise PackedError("is truncated")
        magic, length, digest = _FRONT.unpack(front)
        if magic != _MAGIC or length > _MOST_HEADER:
            raise PackedError("is of another kind")
        text = os.pread(self._file, length, _FRONT.size)
        if hashlib.sha256(text).digest() != digest:
            raise PackedError("is damaged")
        try:
            header = json.loads(text)
            same = header["key"] == asdict(key)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise PackedError("is of another kind") from error
        if not same:
            raise PackedError("is of another checkpoint or version")
        return dict(header)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of each tensor."""
        return {name: size for name, (_, size, _) in self._places.items()}

    @property
    def mappable(self) -> int:
        """The descriptor."""
        return self._file

    @property
    def starts(self) -> Mapping[str, int]:
        """Where each tensor lies in the file."""
        return {name: start for name, (start, _, _) in self._places.items()}

    def check(self, blobs: Mapping[str, Blob], threads: int, *, read: bool) -> None:
        """Compare checksums. read: fill the blobs with what the file has; else they are its own.

        Raises PackedError.
        """

        def check_one(name: str) -> None:
            start, size, checksum = self._places[name]
            if read:
                _fill(self._file, start, blobs[name], size)
            if _checksum(blobs[name]) != checksum:
                raise PackedError(f"is damaged in {name}")

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(check_one, blobs):
                pass

    def close(self) -> None:
        os.close(self._file)


def write(path: Path, key: Key, blobs: Mapping[str, Blob]) -> None:
    """All of it or nothing, readable by its owner alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _sweep(path)
    header, starts, total = _layout(key, blobs)
    if shutil.disk_usage(path.parent).free < _SPARE * total:
        raise OSError("the disk is nearly full")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for block in _blocks(_parts(header, starts, blobs.values())):
                file.write(block)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _layout(key: Key, blobs: Mapping[str, Blob]) -> tuple[bytes, Sequence[int], int]:
    """The header, where each tensor starts, and where the last one ends."""
    checksums = [_checksum(blob) for blob in blobs.values()]
    start = 0

    def laid_out() -> tuple[bytes, list[int], int]:
        at, starts = start, []
        for blob in blobs.values():
            starts.append(at)
            at += -(-blob.size // _ALIGNED) * _ALIGNED
        rows = zip(blobs.items(), starts, checksums, strict=True)
        tensors = {name: [begin, blob.size, total] for (name, blob), begin, total in rows}
        return json.dumps({"key": asdict(key), "tensors": tensors}).encode(), starts, at

    # Starts become longer numbers when they move; a page of room is more than they grow by.
    start = _FRONT.size + len(laid_out()[0]) + 16 * len(blobs) + _ALIGNED
    start -= start % _ALIGNED
    return laid_out()


def _parts(
    header: bytes, starts: Sequence[int], blobs: Iterable[Blob]
) -> Iterator[bytes | memoryview]:
    """All of a file, in order."""
    front = _FRONT.pack(_MAGIC, len(header), hashlib.sha256(header).digest())
    yield front
    yield header
    done = len(front) + len(header)
    for start, blob in zip(starts, blobs, strict=True):
        yield bytes(start - done)
        yield _view(blob, blob.size)
        done = start + blob.size


def _blocks(parts: Iterable[bytes | memoryview]) -> Iterator[bytearray]:
    """The same bytes by _BLOCK, so that the system keeps them in pages as large."""
    block = bytearray()
    for part in parts:
        view = memoryview(part)
        while view:
            room = _BLOCK - len(block)
            block += view[:room]
            view = view[room:]
            if len(block) == _BLOCK:
                yield block
                block = bytearray()
    yield block


def _sweep(path: Path) -> None:
    """Deletes what a process that was killed left behind."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                left.unlink()


def _check_owner(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise PackedError("is not a file")
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PackedError("may have been written by others")


def _places(header: Mapping[str, Any]) -> dict[str, tuple[int, int, int]]:
    """(start, bytes, checksum) by name."""
    try:
        found = {name: (int(a), int(b), int(c)) for name, (a, b, c) in header["tensors"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise PackedError("is of another kind") from error
    if any(start < _FRONT.size or size < 1 for start, size, _ in found.values()):
        raise PackedError("has tensors without a place")
    return found


def _fill(file: int, start: int, blob: Blob, size: int) -> None:
    view, done = _view(blob, size), 0
    while done < size:
        count = os.preadv(file, [view[done:]], start + done)
        if count == 0:
            raise PackedError("is truncated")
        done += count


def _view(blob: Blob, size: int) -> memoryview:
    if size != blob.size:
        raise PackedError("has tensors of other sizes")
    return memoryview((ctypes.c_char * size).from_address(blob.address)).cast("B")


def _checksum(blob: Blob) -> int:
    from models.native.library import library

    loaded = library()
    assert loaded is not None
    return int(loaded.rwkv_checksum(blob.address, blob.size))
