"""A folder of files that are there as a whole or not at all, and of logs, all in one form."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from server.errors import NoRoom, Unreadable
from server.files.forms import Clear, Form, Writer
from server.files.sealed import Sealed
from server.seal import Seal

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Folder:
    """All paths are within it. A file that is moved there by hand is unreadable where it is sealed.

    Writing raises NoRoom, reading Unreadable.
    """

    def __init__(self, path: Path, seal: Seal | None = None) -> None:
        self.path = path
        self._form: Form = Clear() if seal is None else Sealed(seal)

    def open(self, path: Path) -> BinaryIO:
        """A file's content, to be read from its beginning to its end."""
        return self._form.reader(path.open("rb"), self._name(path))

    def json(self, path: Path) -> Any:
        """Raises ValueError where it is none."""
        with self.open(path) as source:
            return json.loads(source.read())

    def opens(self, path: Path) -> bool:
        """It holds JSON in this form."""
        try:
            self.json(path)
        except (Unreadable, ValueError):
            return False
        return True

    def make(self, folder: Path) -> None:
        with making_room():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def create(self, path: Path) -> "Whole":
        """Begins with a file."""
        return Whole(path, self._form, self._name(path))

    def write_json(self, path: Path, value: object) -> None:
        with self.create(path) as whole:
            whole.write(json.dumps(value).encode())

    def append(self, log: Path, line: bytes) -> None:
        """In one write, so that what a crash leaves are whole entries and at most a part of one,
        and with nothing of it written where there is no room. line: with its end."""
        with making_room(), log.open("ab", buffering=0) as target:
            before = target.seek(0, os.SEEK_END)
            rest = memoryview(self._form.entry(line, self._name(log), before))
            try:
                while rest:
                    rest = rest[target.write(rest) :]
            except OSError:
                target.truncate(before)
                raise

    def appended(self, log: Path) -> Iterator[bytes]:
        """The entries of a log; the part of one that a crash left at the end is cut off."""
        if not log.is_file():
            return
        with log.open("rb+") as source:
            end = 0
            for data, end in self._form.entries(source, self._name(log)):  # noqa: B007
                yield data
            if source.seek(0, os.SEEK_END) > end:
                source.truncate(end)

    def finish_log(self, log: Path, path: Path) -> int:
        """Makes a file of a log, which is left as it is, and gives the length of what is in it.
        In clear it takes no room."""
        if self._form.log_is_file:
            with making_room(), log.open("rb") as source:
                os.fsync(source.fileno())
                with suppress(OSError):
                    path.hardlink_to(log)
                    return log.stat().st_size
        with self.create(path) as whole:
            for data in self.appended(log):
                whole.write(data)
        return whole.nbytes

    def _name(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()


class Whole:
    """A file under way: there when it is finished, also when the power fails, or not at all."""

    def __init__(self, path: Path, form: Form, name: str) -> None:
        self._path = path
        self._passing = path.with_name(f"{path.name}.part")
        with making_room():
            self._file = self._passing.open("wb")
        self._writer: Writer = form.writer(self._file, name)
        self.nbytes = 0

    def write(self, data: bytes) -> None:
        """Raises NoRoom."""
        with making_room():
            self._writer.write(data)
        self.nbytes += len(data)

    def finish(self) -> None:
        """Raises NoRoom."""
        with making_room():
            self._writer.finish()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._passing.replace(self._path)

    def discard(self) -> None:
        """Without effect on what is finished."""
        with suppress(OSError):  # of what the disk has no room for
            self._file.close()
        self._passing.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.discard()


def owned(folder: Path, owner: str) -> Path:
    """The folder of an owner within `folder`."""
    return folder / hashlib.sha256(owner.encode()).hexdigest()[:32]


@contextmanager
def making_room() -> Iterator[None]:
    """Raises NoRoom where a disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom from error
        raise
