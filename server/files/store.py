"""Files that clients upload, and that are made for them, each for its owner alone.

    FOLDER/OWNER/file-….json    what is known of a file; a file without it does not exist
    FOLDER/OWNER/file-….data    what is in it

OWNER is a hash of the caller, so no name that a client sends becomes a path.
"""

import logging
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from server.errors import InvalidRequest, NotFound, Unreadable
from server.files.folder import Folder, Whole, owned
from server.seal import Seal

_ID = re.compile(r"file-[0-9a-f]{32}")
_LONGEST_NAME = 255

log = logging.getLogger(__name__)


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

    max_bytes: of all files of all callers together; 0 is no limit. seal: what all of them are
    encrypted with, wherever they lie.
    """

    def __init__(
        self, path: Path | None = None, *, max_bytes: int = 0, seal: Seal | None = None
    ) -> None:
        self._seal = seal
        self._folder = None if path is None else Folder(path, seal)
        self._max_bytes = max_bytes
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Folder:
        """Made when it is first needed, for its owner's eyes only."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="rwkv-server-files-")
            self._folder = Folder(Path(self._temporary.name), self._seal)
        self._folder.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._folder

    def lie_in(self, path: Path) -> None:
        """From now on, if there is no folder yet. What a process that was killed there was
        writing is deleted. Raises OSError where what is there does not open with this seal, or
        without one; nothing is changed then."""
        if self._folder is not None:
            return
        folder = Folder(path, self._seal)
        self._look_through(folder)
        self._folder = folder
        for left in path.rglob("*.part"):
            left.unlink(missing_ok=True)
        for data in path.glob("*/file-*.data"):
            if not data.with_suffix(".json").exists():
                data.unlink(missing_ok=True)

    def _look_through(self, folder: Folder) -> None:
        """One that does not open is damaged; if none does, they are another key's."""
        opened = [folder.opens(path) for path in folder.path.rglob("*.json")]
        if opened and not any(opened):
            raise OSError(
                "they are encrypted, and no key is set"
                if self._seal is None
                else "the encryption key does not fit them, or they are not encrypted"
            )
        if not all(opened):
            told = "records of files and batches are damaged, and left as they are: %d"
            log.warning(told, opened.count(False))

    @property
    def sealed(self) -> bool:
        """What is on disk is encrypted."""
        return self._seal is not None

    @property
    def lasts(self) -> bool:
        """What is kept is there when the server starts again."""
        return self._folder is not None and self._temporary is None

    def close(self) -> None:
        """A temporary folder goes with everything in it."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._folder = self._temporary = None

    def receive(self, owner: str) -> "Incoming":
        """Nothing is on disk before the first write."""
        return Incoming(self, self._new(owner))

    def adopt(
        self, owner: str, log: Path, *, filename: str, purpose: str, lasts_s: float | None = None
    ) -> StoredFile:
        """What was appended to a log of this folder becomes a file of an owner's, whatever room
        there is for files.

        The log is left as it is, to be deleted once this is noted. Raises NoRoom.
        """
        data = self._new(owner)
        self.folder.make(data.parent)
        try:
            nbytes = self.folder.finish_log(log, data)
            return self.note(data, nbytes, filename, purpose, lasts_s)
        except BaseException:
            data.unlink(missing_ok=True)
            raise

    def prune(self) -> None:
        """Delete what is past its time."""
        for path in self._folder.path.glob("*/file-*.json") if self._folder else ():
            self._known(path)

    def _new(self, owner: str) -> Path:
        return self._own(owner) / f"file-{secrets.token_hex(16)}.data"

    def note(
        self, data: Path, nbytes: int, filename: str, purpose: str, lasts_s: float | None
    ) -> StoredFile:
        """From now on the file exists. Raises NoRoom."""
        now = time.time()
        expires = None if lasts_s is None else now + lasts_s
        stored = StoredFile(data.stem, clean_name(filename), purpose, nbytes, now, expires)
        self.folder.write_json(data.with_suffix(".json"), asdict(stored))
        return stored

    def get(self, owner: str, id: str) -> StoredFile:
        """Raises NotFound, also for files of others and expired ones."""
        if _ID.fullmatch(id):
            path = self._own(owner) / f"{id}.json"
            if path.is_file() and (found := self._known(path)) is not None:
                return found
        raise NotFound(f"There is no file {id[:60]!r}.", param="file_id", code="file_not_found")

    def path(self, owner: str, id: str) -> Path:
        """Where the content is, in clear or sealed. Raises NotFound."""
        return self._own(owner) / f"{self.get(owner, id).id}.data"

    def open(self, owner: str, id: str) -> BinaryIO:
        """The content. Raises NotFound; reading raises Unreadable."""
        return self.folder.open(self.path(owner, id))

    def delete(self, owner: str, id: str) -> None:
        """Raises NotFound."""
        self._forget(self._own(owner) / f"{self.get(owner, id).id}.json")

    def list(self, owner: str) -> list[StoredFile]:
        """All of an owner, the newest first."""
        found = (self._known(path) for path in self._own(owner).glob("file-*.json"))
        return sorted(filter(None, found), key=lambda file: (-file.created, file.id))

    def _own(self, owner: str) -> Path:
        return owned(self.folder.path, owner)

    def _known(self, path: Path) -> StoredFile | None:
        try:
            found = StoredFile(**self.folder.json(path))
        except (FileNotFoundError, Unreadable, ValueError):  # of which lie_in() has warned
            return None
        if found.expires is not None and found.expires < time.time():
            self._forget(path)
            return None
        return found

    def _forget(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        path.with_suffix(".data").unlink(missing_ok=True)

    def check_room(self) -> None:
        """Raises InvalidRequest for want of room within max_bytes."""
        if self._max_bytes and sum(self._sizes()) > self._max_bytes:
            raise InvalidRequest(
                f"This server keeps at most {self._max_bytes:,} bytes of files; delete some first.",
                param="file",
                code="storage_full",
            )

    def _sizes(self) -> Iterator[int]:
        return (path.stat().st_size for path in self.folder.path.glob("*/*.data"))


class Incoming:
    """A file on its way in; once it is discarded, nothing is left of it unless it was kept."""

    def __init__(self, store: FileStore, data: Path) -> None:
        self._store, self._data = store, data
        self._opened: Whole | None = None

    @property
    def _whole(self) -> Whole:
        if self._opened is None:
            self._store.folder.make(self._data.parent)
            self._opened = self._store.folder.create(self._data)
        return self._opened

    def write(self, data: bytes) -> None:
        """Raises NoRoom."""
        self._whole.write(data)

    def keep(self, *, filename: str, purpose: str, lasts_s: float | None = None) -> StoredFile:
        """Raises InvalidRequest for want of room within max_bytes, and NoRoom for want of room on
        the disk."""
        try:
            self._whole.finish()
            self._store.check_room()
            return self._store.note(self._data, self._whole.nbytes, filename, purpose, lasts_s)
        except BaseException:
            self._data.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Without effect on what is kept."""
        if self._opened is not None:
            self._opened.discard()


def clean_name(name: str) -> str:
    """The last part of a path that a client calls a file by, without what no name should have."""
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(char for char in last if char.isprintable())
    return printable.strip(" .")[:_LONGEST_NAME] or "file"
