"""Files in pieces, each sealed for its place, so that none can be swapped, left out or added.

    length (4 bytes, little endian), sealed piece        again and again

A piece is sealed for the name of its file, its offset there, and whether it is the last. Files
have pieces of BLOCK bytes, of which the end of the file is the last. A log has a piece for each
entry, none of them the last: what is cut off at its end is like what a crash left unwritten.
"""

import io
import json
import os
from collections.abc import Iterator
from typing import BinaryIO, cast

from server.errors import Unreadable
from server.files.forms import Writer
from server.seal import Seal

BLOCK = 1 << 20
_LENGTH = 4


class Sealed:
    """The form of files where an encryption key is set."""

    log_is_file = False

    def __init__(self, seal: Seal) -> None:
        self._seal = seal

    def writer(self, target: BinaryIO, name: str) -> Writer:
        return _SealedWriter(self, target, name)

    def reader(self, source: BinaryIO, name: str) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Opened(source, self._blocks(source, name))))

    def entry(self, data: bytes, name: str, offset: int) -> bytes:
        return self.piece(data, name, offset, last=False)

    def entries(self, source: BinaryIO, name: str) -> Iterator[tuple[bytes, int]]:
        for offset, end, sealed in _pieces(source):
            yield self._open(sealed, name, offset, last=False), end

    def piece(self, data: bytes, name: str, offset: int, *, last: bool) -> bytes:
        sealed = self._seal.seal(_bound(name, offset, last), data)
        return len(sealed).to_bytes(_LENGTH, "little") + sealed

    def _blocks(self, source: BinaryIO, name: str) -> Iterator[bytes]:
        size = _size(source)
        end = 0
        for offset, end, sealed in _pieces(source):
            yield self._open(sealed, name, offset, last=end == size)
        if not size or end != size:
            raise Unreadable

    def _open(self, sealed: bytes, name: str, offset: int, *, last: bool) -> bytes:
        try:
            return self._seal.open(_bound(name, offset, last), sealed)
        except ValueError as error:
            raise Unreadable from error


class _SealedWriter:
    """Holds one block back, as it may be the last."""

    def __init__(self, form: Sealed, target: BinaryIO, name: str) -> None:
        self._form, self._target, self._name = form, target, name
        self._waiting = bytearray()

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) > BLOCK:
            self._put(bytes(self._waiting[:BLOCK]), last=False)
            del self._waiting[:BLOCK]

    def finish(self) -> None:
        self._put(bytes(self._waiting), last=True)

    def _put(self, block: bytes, *, last: bool) -> None:
        offset = self._target.tell()
        self._target.write(self._form.piece(block, self._name, offset, last=last))


class _Opened(io.RawIOBase):
    def __init__(self, source: BinaryIO, blocks: Iterator[bytes]) -> None:
        self._source, self._blocks = source, blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview", /) -> int:  # type: ignore[override]
        while not self._left:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._left = memoryview(block)
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


def _pieces(source: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Offset, end and bytes of every piece that is there as a whole."""
    size, offset = _size(source), 0
    while size - offset > _LENGTH:
        length = int.from_bytes(source.read(_LENGTH), "little")
        end = offset + _LENGTH + length
        if not length or end > size:
            return
        yield offset, end, source.read(length)
        offset = end


def _size(source: BinaryIO) -> int:
    return os.fstat(source.fileno()).st_size


def _bound(name: str, offset: int, last: bool) -> bytes:
    return json.dumps([name, offset, last]).encode()
