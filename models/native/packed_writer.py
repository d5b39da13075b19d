"""A file of packed weights written: all of it or nothing; see `packed` for its form."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from models.native.packed import FRONT, MAGIC, Blob, Key, checksum_of, view_of

_ALIGNED = 64
_BLOCK = 2 << 20  # bytes: a huge page of most processors
_SPARE = 2  # times a file's size that must be free on the disk before it is written
_ABANDONED = 3600  # seconds after which a file that was never finished is deleted


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
    checksums = [checksum_of(blob) for blob in blobs.values()]
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
    start = FRONT.size + len(laid_out()[0]) + 16 * len(blobs) + _ALIGNED
    start -= start % _ALIGNED
    return laid_out()


def _parts(
    header: bytes, starts: Sequence[int], blobs: Iterable[Blob]
) -> Iterator[bytes | memoryview]:
    """All of a file, in order."""
    front = FRONT.pack(MAGIC, len(header), hashlib.sha256(header).digest())
    yield front
    yield header
    done = len(front) + len(header)
    for start, blob in zip(starts, blobs, strict=True):
        yield bytes(start - done)
        yield view_of(blob, blob.size)
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
