"""Documents in memory that are also written to disk, and there again after a restart."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.records.memory import MemoryRecords
from server.records.mirror import Mirror, SealError
from server.seal import Seal

_LAST_WRITES_S = 10.0


class KeptRecords(MemoryRecords):
    """Those in memory until open(); from then to close() with a copy on disk.

    What is evicted from memory leaves the disk too, so both have the one budget.
    """

    def __init__(self, budget_bytes: int) -> None:
        super().__init__(budget_bytes)
        self._mirror: Mirror | None = None

    def open(self, path: Path, seal: Seal | None = None) -> None:
        """Blocks while all of it is read. Raises OSError where it cannot be used.

        Whoever gives another seal, or none, than wrote what is there gets an OSError too, and
        nothing of it is changed.
        """
        try:
            self._mirror = Mirror(path, seal)
            texts, last = self._mirror.texts(), self._mirror.last_written()
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

    def put(self, owner: str, kind: str, id: str, document: Mapping[str, Any]) -> bool:
        name = (owner, kind, id)
        new = name not in self._texts
        kept = super().put(owner, kind, id, document)
        if kept and self._mirror is not None:
            self._mirror.put(name, self._texts[name], new=new)
        return kept

    def delete(self, owner: str, kind: str, id: str) -> None:
        super().delete(owner, kind, id)
        if self._mirror is not None:
            self._mirror.delete((owner, kind, id))
