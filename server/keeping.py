"""From settings to what outlives the server: conversations, documents, files and batches."""

import asyncio
import logging
import os
import sys
from pathlib import Path

from server.config import SessionSettings
from server.files import FileStore
from server.metrics import DocumentsReading
from server.records import KeptRecords, Records
from server.records.shared import DocumentStore
from server.records.synced import SyncedRecords
from server.session import (
    Archive,
    Cipher,
    CipherError,
    DiskHome,
    FolderLock,
    Home,
    HomeError,
    Packing,
)
from server.session.shared import SharedHome
from server.valkey import Valkey

# Bytes of snapshots that wait to be written, beside those in memory: a quarter of theirs, within
_LEAST_WAITING, _MOST_WAITING = 2**24, 2**29

log = logging.getLogger(__name__)


class Keeping:
    """The data folder and the archive, from open() to close(); before that nothing is touched.

    One server at a time has the folder. A folder that cannot be had is warned of, and done
    without: files are temporary then, documents and conversations stay in memory.
    Raises ValkeyError for a shared store that cannot be used.
    """

    def __init__(
        self,
        settings: SessionSettings,
        files: FileStore,
        cipher: Cipher | None = None,
    ) -> None:
        self._settings, self._files, self._cipher = settings, files, cipher
        self._store = _store(settings)
        self._near = KeptRecords(settings.records_bytes)
        self._synced = self._store and SyncedRecords(self._near, DocumentStore(self._store, cipher))
        self._packing = Packing(settings.archive_dtype, self._cipher)
        self._lock: FolderLock | None = None
        waiting = min(max(settings.memory_bytes // 4, _LEAST_WAITING), _MOST_WAITING)
        self.archive = Archive(self._homes, self._packing, outbox_bytes=waiting)

    @property
    def records(self) -> Records:
        return self._synced or self._near

    @property
    def documents(self) -> DocumentsReading:
        """What the gauges show of them."""
        near, synced = self._near, self._synced
        shared = (synced.waiting, synced.errors) if synced else None
        return DocumentsReading(len(near), near.nbytes, near.evicted, shared)

    async def open(self) -> None:
        """Waits while what is kept is looked through."""
        if self._settings.archive:
            await asyncio.to_thread(self.archive.open)
        if self._synced:
            await self._synced.start()

    async def close(self) -> None:
        """Waits for a disk that hangs for ten seconds, warns of what is lost, and gives it up."""
        await asyncio.gather(self.archive.close(), self._close_documents())
        if self._store is not None:
            self._store.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def _close_documents(self) -> None:
        if self._synced:
            await self._synced.close()
        await asyncio.to_thread(self._near.close)

    def _homes(self) -> list[Home]:
        return [home for home in (self._disk(), _shared(self._store)) if home is not None]

    def _disk(self) -> Home | None:
        """With documents and files beside it."""
        try:
            folder = data_dir(self._settings)
            self._lock = FolderLock(folder)
            self._uploads(folder / "files")
            self._documents(folder / "documents.sqlite3")
            return self._states(folder) if self._settings.disk_bytes else None
        except (HomeError, RuntimeError) as error:  # the latter where there is no home folder
            log.warning("nothing will be kept on disk: the data folder %s", error)
            return None

    def _documents(self, path: Path) -> None:
        try:
            self._near.open(path, self._cipher)
        except OSError as error:
            log.warning("stored documents will be kept in memory only: %s", error)

    def _uploads(self, folder: Path) -> None:
        try:
            self._files.lie_in(folder)
        except OSError as error:
            log.warning(
                "new files and batches will be temporary, and kept ones stay away: %s", error
            )

    def _states(self, folder: Path) -> Home:
        return DiskHome(
            folder,
            self._settings.disk_bytes,
            describe=self._packing.describe,
            days=self._settings.archive_days,
            sync_interval_s=self._settings.sync_interval_s,
        )


def data_dir(settings: SessionSettings) -> Path:
    """The folder for what is kept. Raises RuntimeError where the user has none."""
    if settings.data_dir:
        return Path(settings.data_dir).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "rwkv-server"


def _store(settings: SessionSettings) -> Valkey | None:
    if not settings.archive or not settings.store_url:
        return None
    return Valkey(settings.store_url, days=settings.archive_days)


def _shared(store: Valkey | None) -> Home | None:
    return None if store is None else SharedHome(store)


def open_cipher(settings: SessionSettings) -> Cipher | None:
    """What all of it is encrypted with. Raises CipherError for a key that cannot be used."""
    secret = settings.encryption_key
    if settings.encryption_key_file:
        try:
            secret = Path(settings.encryption_key_file).expanduser().read_text(encoding="ascii")
        except (OSError, ValueError) as error:
            raise CipherError(f"the encryption key file cannot be read: {error}") from error
    return Cipher(secret) if secret else None
