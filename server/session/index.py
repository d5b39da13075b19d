"""The index of a folder of snapshots, in SQLite: who owns what, and what goes first."""

import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from server.session.entry import Entry
from server.session.home import HomeError
from server.session.keys import Key
from server.sqlite import opened

_VERSION = 2
_COLUMNS = "key, parent, fingerprint, owner, tokens, turns, plain, nbytes, used, pinned, path"
_SCHEMA = """
CREATE TABLE entries (
    key BLOB PRIMARY KEY, parent BLOB, fingerprint TEXT NOT NULL, owner TEXT NOT NULL,
    tokens INTEGER NOT NULL, turns INTEGER NOT NULL, plain INTEGER NOT NULL,
    nbytes INTEGER NOT NULL, used REAL NOT NULL, pinned INTEGER NOT NULL,
    path BLOB NOT NULL,
    inner_ INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX owners ON entries (owner, used);
CREATE INDEX texts ON entries (fingerprint, owner, tokens) WHERE plain;
CREATE INDEX parents ON entries (parent);
CREATE INDEX cheapest ON entries (inner_ DESC, used) WHERE NOT pinned;
"""
_PINS = "CREATE INDEX IF NOT EXISTS pins ON entries (nbytes) WHERE pinned"
_PUT = f"""
INSERT OR REPLACE INTO entries ({_COLUMNS}, inner_)
VALUES """
_VALUES = """(?, ?, ?, ?, ?, ?, ?, ?, ?,
    max(?, ifnull((SELECT pinned FROM entries WHERE key = ?), 0)), ?,
    EXISTS (SELECT 1 FROM entries WHERE parent = ?))"""
_TOTALS = "SELECT count(*), ifnull(sum(nbytes), 0) FROM entries"
_WAL_BYTES = 2**20  # of the journal, which comes beside the budget
_PRAGMAS: dict[str, str | int] = {
    "journal_mode": "WAL",
    "synchronous": "NORMAL",
    "wal_autocheckpoint": _WAL_BYTES // 4096,  # pages
    "journal_size_limit": _WAL_BYTES,
}
_MOST = 64  # entries in a statement

T = TypeVar("T")


class Index:
    """The files are the truth; an index that is damaged or of another version begins anew.

    One connection for all threads; a lock is held for microseconds. count, nbytes: of all entries.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._connection = opened(path, _VERSION, _SCHEMA, _PRAGMAS)
        except sqlite3.DatabaseError:
            for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
                path.with_name(name).unlink(missing_ok=True)
            self._connection = opened(path, _VERSION, _SCHEMA, _PRAGMAS)
        ((self.count, self.nbytes),) = self._rows(_TOTALS)
        with self._changing() as connection:  # an index of an earlier release has none
            connection.execute(_PINS)

    def put(self, entries: Sequence[Entry]) -> None:
        """Of different keys. In few statements: every one gives the interpreter away some times."""
        now = len(entries), sum(entry.nbytes for entry in entries)
        with self._changing([entry.key for entry in entries], now) as connection:
            for some in _batches(entries):
                rows = ((*_row(entry), entry.key, entry.path, entry.key) for entry in some)
                connection.execute(_PUT + ", ".join([_VALUES] * len(some)), [*chain(*rows)])
                inner = f"UPDATE entries SET inner_ = 1 WHERE NOT inner_ AND key {_in(some)}"
                connection.execute(inner, [entry.parent for entry in some])

    def delete(self, keys: Collection[Key]) -> None:
        keys = list(keys)
        with self._changing(keys) as connection:
            for some in _batches(keys):
                connection.execute(f"DELETE FROM entries WHERE key {_in(some)}", some)

    def touch(self, keys: Iterable[Key]) -> None:
        now = time.time()
        with self._changing() as connection:
            for some in _batches(list(keys)):
                query = f"UPDATE entries SET used = ? WHERE key {_in(some)}"
                connection.execute(query, [now, *some])

    def pin(self, key: Key, pinned: bool) -> None:
        with self._changing() as connection:
            connection.execute("UPDATE entries SET pinned = ? WHERE key = ?", (pinned, key))

    def round_up(self, block: int) -> None:
        """Every size to whole blocks."""
        with self._changing() as connection:
            query = "UPDATE entries SET nbytes = (nbytes / ?1 + 1) * ?1 WHERE nbytes % ?1"
            if connection.execute(query, (block,)).rowcount:
                self.count, self.nbytes = connection.execute(_TOTALS).fetchone()

    def cheapest(self, count: int) -> list[tuple[Key, int]]:
        """The unpinned entries that go first, with their bytes."""
        query = (
            "SELECT key, nbytes FROM entries WHERE NOT pinned ORDER BY inner_ DESC, used LIMIT ?"
        )
        return [(key, nbytes) for key, nbytes in self._rows(query, count)]

    def older(self, than: float) -> list[Key]:
        """The unpinned entries not used since."""
        return [
            k for (k,) in self._rows("SELECT key FROM entries WHERE NOT pinned AND used < ?", than)
        ]

    def pinned_nbytes(self) -> int:
        ((nbytes,),) = self._rows("SELECT ifnull(sum(nbytes), 0) FROM entries WHERE pinned")
        return int(nbytes)

    def unpinned_nbytes(self, keys: Sequence[Key]) -> int:
        """Of these keys."""
        query = "SELECT nbytes FROM entries WHERE NOT pinned AND key = ?"
        return sum(row[0] for key in keys for row in self._rows(query, key))

    def sizes(self, keys: Sequence[Key]) -> dict[Key, int]:
        query = "SELECT nbytes FROM entries WHERE key = ?"
        return {key: rows[0][0] for key in keys if (rows := self._rows(query, key))}

    def beginning_with(self, byte: int) -> set[Key]:
        """The keys whose first byte this is."""
        query = "SELECT key FROM entries WHERE key >= ? AND key <= ?"
        return {k for (k,) in self._rows(query, bytes([byte]), bytes([byte]) + b"\xff" * 32)}

    def lengths(self, fingerprint: str, owner: str) -> list[int]:
        query = "SELECT DISTINCT tokens FROM entries WHERE plain AND fingerprint = ? AND owner = ?"
        return [tokens for (tokens,) in self._rows(query, fingerprint, owner)]

    def entries(self, owner: str) -> list[Entry]:
        query = f"SELECT {_COLUMNS} FROM entries WHERE owner = ? ORDER BY used DESC"
        return [_entry(row) for row in self._rows(query, owner)]

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _rows(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        try:
            with self._lock:
                return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise HomeError(f"its index cannot be read: {error}") from error

    @contextmanager
    def _changing(
        self, keys: Sequence[Key] = (), now: tuple[int, int] = (0, 0)
    ) -> Iterator[sqlite3.Connection]:
        """A transaction; keys: whose entries come, go or change their sizes in it, and how many
        there are behind it, of how many bytes."""
        try:
            with self._lock:
                with self._connection:
                    count, nbytes = self._totals(keys)
                    yield self._connection
                self.count += now[0] - count
                self.nbytes += now[1] - nbytes
        except sqlite3.Error as error:
            raise HomeError(f"its index cannot be written: {error}") from error

    def _totals(self, keys: Sequence[Key]) -> tuple[int, int]:
        found = [
            self._connection.execute(f"{_TOTALS} WHERE key {_in(some)}", some).fetchone()
            for some in _batches(keys)
        ]
        return sum(count for count, _ in found), sum(nbytes for _, nbytes in found)


def _batches(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """No statement has more than some 800 values; SQLite of before 2020 took 999."""
    return (values[at : at + _MOST] for at in range(0, len(values), _MOST))


def _in(values: Sequence[object]) -> str:
    return f"IN ({', '.join('?' * len(values))})"


def _row(entry: Entry) -> tuple[object, ...]:
    return (
        *(entry.key, entry.parent, entry.fingerprint, entry.owner, entry.tokens, entry.turns),
        *(entry.plain, entry.nbytes, entry.used, entry.pinned),
    )


def _entry(row: tuple) -> Entry:  # type: ignore[type-arg]
    key, parent, fingerprint, owner, tokens, turns, plain, nbytes, used, pinned, path = row
    whose = Entry(key, parent, fingerprint, owner, tokens, turns, bool(plain))
    kept = replace(whose, nbytes=nbytes, used=used, pinned=bool(pinned), tier="disk")
    return replace(kept, path=path)
