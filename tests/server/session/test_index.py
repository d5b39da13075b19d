"""The index counts what it holds, however much comes and goes at once."""

import sqlite3
from pathlib import Path

from server.session.entry import Entry
from server.session.index import Index

MANY = 200  # more than one statement takes


def entry(number: int, parent: int | None = None, nbytes: int = 10) -> Entry:
    key, before = number.to_bytes(16), None if parent is None else parent.to_bytes(16)
    return Entry(key, before, "model", "ann", 1, nbytes=nbytes, used=float(number))


def test_many_that_come_and_go_at_once_are_counted(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index._connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)  # of old SQLite
    index.put([entry(number) for number in range(MANY)])
    assert (index.count, index.nbytes) == (MANY, 10 * MANY)
    index.put([entry(number, nbytes=30) for number in range(50, MANY + 50)])
    assert (index.count, index.nbytes) == (MANY + 50, 10 * 50 + 30 * MANY)
    index.delete([entry(number).key for number in range(100, 2 * MANY)])
    assert (index.count, index.nbytes) == (100, 10 * 50 + 30 * 50)
    assert Index(tmp_path / "index").nbytes == index.nbytes


def test_what_is_continued_goes_first_whichever_comes_first(tmp_path: Path) -> None:
    """Within a statement, over several, and where the one that continues was there before."""
    index = Index(tmp_path / "index")
    index.put([entry(0, 1), entry(1), entry(2), entry(3, 2)])
    index.put([entry(4, 3), *(entry(number) for number in range(100, 100 + MANY)), entry(5, 101)])
    first = [int.from_bytes(key) for key, _ in index.cheapest(4)]
    assert first == [1, 2, 3, 101]


def test_many_are_used_at_once(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.put([entry(number) for number in range(MANY + 1)])
    index.touch([entry(number).key for number in range(MANY)])
    assert index.older(than=1000.0) == [entry(MANY).key]


def test_a_pin_stays_when_its_entry_comes_again(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    index.put([entry(1), entry(2)])
    index.pin(entry(1).key, pinned=True)
    index.put([entry(2), entry(1)])
    assert index.pinned_nbytes() == 10
