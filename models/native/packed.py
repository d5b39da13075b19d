"""Packed weights kept in a file, so that the next start maps them instead of packing again.

A file: 8 bytes "RWKVPACK", the length of the header (u64, little-endian), its SHA-256, the header
as JSON, and the tensors as the library packs them, each with a checksum against damage. Whoever
can write such a file decides what a model says, so one that others own or may write to is never
read. What is wrong with a file is said in the log, and it is made again.

A file that is in use is mapped, and must stay as it is: it is written under another name and
renamed, so that a new one takes the place of the old one, which lives on until nobody uses it
(`packed_writer`).
"""

import ctypes
import hashlib
import json
import os
import stat
import struct
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LAYOUT = 1  # raise it with every change to how weights are packed
MAGIC = b"RWKVPACK"
FRONT = struct.Struct("<8sQ32s")
_MOST_HEADER = 16 << 20


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
        front = os.pread(self._file, FRONT.size, 0)
        if len(front) < FRONT.size:
            raise PackedError("is truncated")
        magic, length, digest = FRONT.unpack(front)
        if magic != MAGIC or length > _MOST_HEADER:
            raise PackedError("is of another kind")
        text = os.pread(self._file, length, FRONT.size)
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
            if checksum_of(blobs[name]) != checksum:
                raise PackedError(f"is damaged in {name}")

        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(check_one, blobs):
                pass

    def close(self) -> None:
        os.close(self._file)


def view_of(blob: Blob, size: int) -> memoryview:
    if size != blob.size:
        raise PackedError("has tensors of other sizes")
    return memoryview((ctypes.c_char * size).from_address(blob.address)).cast("B")


def checksum_of(blob: Blob) -> int:
    from models.native.library import library

    loaded = library()
    assert loaded is not None
    return int(loaded.rwkv_checksum(blob.address, blob.size))


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
    if any(start < FRONT.size or size < 1 for start, size, _ in found.values()):
        raise PackedError("has tensors without a place")
    return found


def _fill(file: int, start: int, blob: Blob, size: int) -> None:
    view, done = view_of(blob, size), 0
    while done < size:
        count = os.preadv(file, [view[done:]], start + done)
        if count == 0:
            raise PackedError("is truncated")
        done += count
