"""Documents in memory that are also written to disk, and there again after a restart."""

import sqlite3
from pathlib import Path

from server.records.base import Name
from server.records.memory import MemoryRecords
from server.records.mirror import Mirror
from server.records.sealing import SealError
from server.seal import Seal

_LAST_WRITES_S = 10.0


class KeptRecords(MemoryRecords):
    """Those in memory until open(); from then to close() with a copy on disk.

    What is evicted from memory leaves the disk too, so both have the one budget. notes: those that
    were found beside documents, by their names.
    """

    def __init__(self, budget_bytes: int) -> None:
        super().__init__(budget_bytes)
        self._mirror: Mirror | None = None
        self.notes: dict[Name, bytes] = {}

    def open(self, path: Path, seal: Seal | None = None) -> None:
        """Blocks while all of it is read. Raises OSError where it cannot be used.

        Whoever gives another seal, or none, than wrote what is there gets an OSError too, and
        nothing of it is changed.
        """
        try:
            self._mirror = Mirror(path, seal)
            texts, last = self._mirror.texts(), self._mirror.last_written()
            self.notes = self._mirror.notes()
        except sqlite3.Error as error:
            self._mirror = None
            raise OSError(str(error)) from error
        except SealError as error:
            if self._mirror is not None:
                self._mirror.abandon()
            self._mirror = None
            raise OSError(str(error)) from error
        self._mirror.start()
        self._restore(texts, last)

    def close(self) -> None:
        """Blocks until the last document is written."""
        mirror, self._mirror = self._mirror, None
        if mirror is not None:
            mirror.close(_LAST_WRITES_S)

    def keep(self, name: Name, text: bytes) -> bool:
        new = name not in self._texts
        kept = super().keep(name, text)
        if kept and self._mirror is not None:
            self._mirror.put(name, text, new=new)
        return kept

    def forget(self, name: Name) -> None:
        super().forget(name)
        if self._mirror is not None:
            self._mirror.delete(name)

    def note(self, name: Name, note: bytes | None) -> None:
        """Have a note beside a document on disk, or none any more."""
        if self._mirror is not None:
            self._mirror.note(name, note)
