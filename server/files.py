"""Files that clients upload, and that are made for them, each for its owner alone.

    FOLDER/OWNER/file-….json    what is known of a file; a file without it does not exist
    FOLDER/OWNER/file-….data    what is in it

OWNER is a hash of the caller, so no name that a client sends becomes a path.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from server.errors import InvalidRequest, NotFound

_ID = re.compile(r"file-[0-9a-f]{32}")
_LONGEST_NAME = 255
_OURS = frozenset({"batch_output"})  # what was computed is not thrown away for want of room


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
        """From now on, if there is no folder yet."""
        if self._folder is None:
            self._folder = folder

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
        """Keeps what `source` has from where it stands. Raises InvalidRequest for want of room."""
        folder, id = self._own(owner), f"file-{secrets.token_hex(16)}"
        folder.mkdir(exist_ok=True, mode=0o700)
        data = folder / f"{id}.data"
        try:
            write_whole(data, source)
            if purpose not in _OURS:
                self._check_room()
            now = time.time()
            expires = None if lasts_s is None else now + lasts_s
            name, nbytes = clean_name(filename), data.stat().st_size
            stored = StoredFile(id, name, purpose, nbytes, now, expires)
            write_json(folder / f"{id}.json", asdict(stored))
        except BaseException:
            data.unlink(missing_ok=True)
            raise
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


def write_whole(path: Path, source: BinaryIO) -> None:
    """A file that is there as a whole or not at all, also when the power fails."""
    passing = path.with_suffix(".part")
    with passing.open("wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        os.fsync(target.fileno())
    passing.replace(path)


def write_json(path: Path, value: object) -> None:
    """The same for a value."""
    passing = path.with_suffix(".json.part")
    with passing.open("w", encoding="utf-8") as target:
        json.dump(value, target)
        target.flush()
        os.fsync(target.fileno())
    passing.replace(path)
