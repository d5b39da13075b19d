"""Files that clients upload, and that are made for them, each for its owner alone.

    FOLDER/OWNER/file-….json    what is known of a file; a file without it does not exist
    FOLDER/OWNER/file-….data    what is in it

OWNER is a hash of the caller, so no name that a client sends becomes a path.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from server.errors import InvalidRequest, NoRoom, NotFound

_ID = re.compile(r"file-[0-9a-f]{32}")
_LONGEST_NAME = 255
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """created, expires: seconds since 1970; expires is None where it never does."""

    id: str
    filename: str
    purpose: str
    nbytes: int
    created: float
    expires: float | None = None


class FileStore:
    """The files of all callers in one folder; without one, in a temporary folder until close().

    max_bytes: of all files of all callers together; 0 is no limit.
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int = 0) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """Made when it is first needed, for its owner's eyes only."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rwkv-server-files-")
            self._folder = Path(self._temporary.name)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder

    def lie_in(self, folder: Path) -> None:
        """From now on, if there is no folder yet. What a process that was killed there was
        writing is deleted."""
        if self._folder is not None:
            return
        self._folder = folder
        for left in folder.rglob("*.part"):
            left.unlink(missing_ok=True)
        for data in folder.glob("*/file-*.data"):
            if not data.with_suffix(".json").exists():
                data.unlink(missing_ok=True)

    @property
    def lasts(self) -> bool:
        """What is kept is there when the server starts again."""
        return self._folder is not None and self._temporary is None

    def close(self) -> None:
        """A temporary folder goes with everything in it."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._folder = self._temporary = None

    def add(
        self,
        owner: str,
        source: BinaryIO,
        *,
        filename: str,
        purpose: str,
        lasts_s: float | None = None,
    ) -> StoredFile:
        """Keeps what `source` has from where it stands. Raises InvalidRequest for want of room
        within max_bytes, and NoRoom for want of room on the disk."""
        data = self._new(owner)
        try:
            write_whole(data, source)
            self._check_room()
            return self._note(data, filename, purpose, lasts_s)
        except BaseException:
            data.unlink(missing_ok=True)
            raise

    def adopt(
        self, owner: str, path: Path, *, filename: str, purpose: str, lasts_s: float | None = None
    ) -> StoredFile:
        """A file that was computed becomes one of an owner's, whatever room there is for files.

        Where it lies is left as it is, to be deleted once this is noted. Raises NoRoom.
        """
        data = self._new(owner)
        try:
            with making_room(), path.open("rb") as source:
                os.fsync(source.fileno())
                try:
                    data.hardlink_to(path)  # which takes no room
                except OSError:
                    write_whole(data, source)
            return self._note(data, filename, purpose, lasts_s)
        except BaseException:
            data.unlink(missing_ok=True)
            raise

    def prune(self) -> None:
        """Delete what is past its time."""
        for path in self.folder.glob("*/file-*.json"):
            self._known(path)

    def _new(self, owner: str) -> Path:
        folder = self._own(owner)
        with making_room():
            folder.mkdir(exist_ok=True, mode=0o700)
        return folder / f"file-{secrets.token_hex(16)}.data"

    def _note(self, data: Path, filename: str, purpose: str, lasts_s: float | None) -> StoredFile:
        """From now on the file exists."""
        now = time.time()
        expires = None if lasts_s is None else now + lasts_s
        name, nbytes = clean_name(filename), data.stat().st_size
        stored = StoredFile(data.stem, name, purpose, nbytes, now, expires)
        write_json(data.with_suffix(".json"), asdict(stored))
        return stored

    def get(self, owner: str, id: str) -> StoredFile:
        """Raises NotFound, also for files of others and expired ones."""
        if _ID.fullmatch(id):
            path = self._own(owner) / f"{id}.json"
            if path.is_file() and (found := self._known(path)) is not None:
                return found
        raise NotFound(f"There is no file {id[:60]!r}.", param="file_id", code="file_not_found")

    def path(self, owner: str, id: str) -> Path:
        """Where the content is. Raises NotFound."""
        return self._own(owner) / f"{self.get(owner, id).id}.data"

    def delete(self, owner: str, id: str) -> None:
        """Raises NotFound."""
        self._forget(self._own(owner) / f"{self.get(owner, id).id}.json")

    def list(self, owner: str) -> list[StoredFile]:
        """All of an owner, the newest first."""
        found = (self._known(path) for path in self._own(owner).glob("file-*.json"))
        return sorted(filter(None, found), key=lambda file: (-file.created, file.id))

    def _own(self, owner: str) -> Path:
        return owned(self.folder, owner)

    def _known(self, path: Path) -> StoredFile | None:
        try:
            found = StoredFile(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        if found.expires is not None and found.expires < time.time():
            self._forget(path)
            return None
        return found

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".data").unlink(missing_ok=True)

    def _check_room(self) -> None:
        if self._max_bytes and sum(self._sizes()) > self._max_bytes:
            raise InvalidRequest(
                f"This server keeps at most {self._max_bytes:,} bytes of files; delete some first.",
                param="file",
                code="storage_full",
            )

    def _sizes(self) -> Iterator[int]:
        return (path.stat().st_size for path in self.folder.glob("*/*.data"))


def owned(folder: Path, owner: str) -> Path:
    """The folder of an owner within `folder`."""
    return folder / hashlib.sha256(owner.encode()).hexdigest()[:32]


def clean_name(name: str) -> str:
    """The last part of a path that a client calls a file by, without what no name should have."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(char for char in last if char.isprintable())
    return printable.strip(" .")[:_LONGEST_NAME] or "file"


@contextmanager
def making_room() -> Iterator[None]:
    """Raises NoRoom where a disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom from error
        raise


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file that is there as a whole or not at all, also when the power fails. Raises NoRoom."""
    passing = path.with_name(f"{path.name}.part")
    try:
        with making_room():
            with passing.open("wb") as target:
                yield target
                target.flush()
                os.fsync(target.fileno())
            passing.replace(path)
    except BaseException:
        passing.unlink(missing_ok=True)
        raise


def write_whole(path: Path, source: BinaryIO) -> None:
    """As a whole or not at all, also when the power fails. Raises NoRoom."""
    with _whole(path) as target:
        shutil.copyfileobj(source, target)


def write_json(path: Path, value: object) -> None:
    """The same for a value."""
    with _whole(path) as target:
        target.write(json.dumps(value).encode())
