"""A copy on disk of documents in memory, in SQLite, written by a thread of its own.

What is deleted is overwritten there, and leaves with the next write.
"""

import logging
import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from server.records.base import Name
from server.records.sealing import Sealing
from server.seal import Seal
from server.sqlite import opened

log = logging.getLogger(__name__)

_VERSION = 1
# In files of before too, whose layout is the same otherwise.
_NOTES = """
CREATE TABLE IF NOT EXISTS notes (
    owner TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, note BLOB NOT NULL,
    PRIMARY KEY (owner, kind, id)
);
"""
_SCHEMA = f"""
CREATE TABLE documents (
    owner TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    came INTEGER NOT NULL, written INTEGER NOT NULL, text BLOB NOT NULL,
    PRIMARY KEY (owner, kind, id)
);
{_NOTES}
"""
_PRAGMAS = {"secure_delete": "ON", "synchronous": "FULL"}
_PUT = """
INSERT INTO documents VALUES (:owner, :kind, :id, ifnull(:came, :written), :written, :text)
ON CONFLICT DO UPDATE SET came = ifnull(:came, came), written = :written, text = :text
"""
_DELETE = "DELETE FROM documents WHERE owner = ? AND kind = ? AND id = ?"
_NOTE = "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)"
_CROSS_OUT = "DELETE FROM notes WHERE owner = ? AND kind = ? AND id = ?"


@dataclass(frozen=True, slots=True)
class _Change:
    """text: None deletes. came: the number of a document that is new; None leaves it its place."""

    text: bytes | None
    came: int | None
    written: int


class Mirror:
    """Takes changes without waiting, and writes them several at a time.

    Beside a document can be a note, which comes and goes by itself.

    Whoever opens it holds its folder. A file that cannot be read is set aside. Raises OSError or
    sqlite3.Error where none can be made.
    """

    def __init__(self, path: Path, seal: Seal | None = None) -> None:
        self._sealing = Sealing(seal)
        try:
            self._connection = opened(path, _VERSION, _SCHEMA, _PRAGMAS)
        except sqlite3.DatabaseError as error:
            log.warning("stored documents cannot be read, and are set aside: %s", error)
            path.replace(path.with_suffix(".damaged"))
            self._connection = opened(path, _VERSION, _SCHEMA, _PRAGMAS)
        self._connection.executescript(_NOTES)
        query = "SELECT ifnull(max(written), 0) FROM documents"
        (self._count,) = self._connection.execute(query).fetchone()
        self._changed = threading.Condition()
        self._waiting: dict[Name, _Change] = {}
        self._noted: dict[Name, bytes | None] = {}
        self._closing = self._failing = False
        self._thread = threading.Thread(target=self._run, name="documents", daemon=True)

    def texts(self) -> list[tuple[Name, bytes]]:
        """All that is there, in the order of their coming; call before start().

        Raises SealError.
        """
        rows = self._connection.execute("SELECT owner, kind, id, text FROM documents ORDER BY came")
        found = [((owner, kind, id), text) for owner, kind, id, text in rows]
        return [(name, self._sealing.open(name, text)) for name, text in found]

    def notes(self) -> dict[Name, bytes]:
        """As texts()."""
        rows = self._connection.execute("SELECT owner, kind, id, note FROM notes")
        found = [((owner, kind, id), note) for owner, kind, id, note in rows]
        return {name: self._sealing.open(name, note, "note") for name, note in found}

    def last_written(self) -> list[Name]:
        """The names, the one written last at the end; call before start()."""
        rows = self._connection.execute("SELECT owner, kind, id FROM documents ORDER BY written")
        return [(owner, kind, id) for owner, kind, id in rows]

    def abandon(self) -> None:
        """Leave all as it is; instead of start()."""
        self._connection.close()

    def start(self) -> None:
        self._thread.start()

    def put(self, name: Name, text: bytes, *, new: bool) -> None:
        with self._changed:
            self._count += 1
            earlier = self._waiting.get(name)
            came = self._count if new else earlier.came if earlier is not None else None
            self._waiting[name] = _Change(text, came, self._count)
            self._changed.notify()

    def delete(self, name: Name) -> None:
        with self._changed:
            self._waiting[name] = _Change(None, None, 0)
            self._changed.notify()

    def note(self, name: Name, note: bytes | None) -> None:
        """None crosses it out."""
        with self._changed:
            self._noted[name] = note
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Write what is left, unless that takes too long."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("stored documents that wait to be written are lost: their disk hangs")

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._noted or self._closing)
                changes, self._waiting = self._waiting, {}
                noted, self._noted = self._noted, {}
            if not changes and not noted:
                break
            try:
                self._write(changes, noted)
                self._failing = False
            except sqlite3.Error as error:
                self._fails(error)
        self._connection.close()

    def _write(self, changes: Mapping[Name, _Change], noted: Mapping[Name, bytes | None]) -> None:
        with self._connection:
            for name, change in changes.items():
                if change.text is None:
                    self._connection.execute(_DELETE, name)
                else:
                    named = dict(zip(("owner", "kind", "id"), name, strict=True))
                    sealed = {"text": self._sealing.seal(name, change.text)}
                    self._connection.execute(_PUT, named | asdict(change) | sealed)
            for name, note in noted.items():
                if note is None:
                    self._connection.execute(_CROSS_OUT, name)
                else:
                    sealed_note = self._sealing.seal(name, note, "note")
                    self._connection.execute(_NOTE, (*name, sealed_note))

    def _fails(self, error: sqlite3.Error) -> None:
        if not self._failing:
            self._failing = True
            log.warning("stored documents are kept in memory only for now: %s", error)
