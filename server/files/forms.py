"""How a file lies on disk: in clear as here, or sealed (server/files/sealed.py).

A file is written once, as a whole, or is a log: entries that end with a newline, appended one by
one.
"""

from collections.abc import Iterator
from typing import BinaryIO, Protocol


class Writer(Protocol):
    """Takes a file piece by piece."""

    def write(self, data: bytes, /) -> object: ...

    def finish(self) -> None:
        """Nothing comes any more."""
        ...


class Form(Protocol):
    """name: of the file, for which alone its bytes on disk are good.

    Reading raises Unreadable for what was written otherwise, is damaged or was exchanged.
    log_is_file: the bytes of a log are those of a file with the same content, whatever its name.
    """

    log_is_file: bool

    def writer(self, target: BinaryIO, name: str) -> Writer: ...

    def reader(self, source: BinaryIO, name: str) -> BinaryIO:
        """Closes `source` with itself."""
        ...

    def entry(self, data: bytes, name: str, offset: int) -> bytes:
        """As it is appended to a log that has `offset` bytes."""
        ...

    def entries(self, source: BinaryIO, name: str) -> Iterator[tuple[bytes, int]]:
        """Those of a log that are whole, each with the offset of its end."""
        ...


class Clear:
    """Bytes as they are."""

    log_is_file = True

    def writer(self, target: BinaryIO, name: str) -> Writer:
        return _ClearWriter(target)

    def reader(self, source: BinaryIO, name: str) -> BinaryIO:
        return source

    def entry(self, data: bytes, name: str, offset: int) -> bytes:
        return data

    def entries(self, source: BinaryIO, name: str) -> Iterator[tuple[bytes, int]]:
        end = 0
        for line in source:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield line, end


class _ClearWriter:
    def __init__(self, target: BinaryIO) -> None:
        self.write = target.write

    def finish(self) -> None:
        pass
