"""Fills the disk of a folder around an archive, again and again; ends with an error if one is lost.

A program, as it runs where nothing else can see the file system: test_full_disk.py starts it.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

from server.records import KeptRecords
from server.session import Packing, SessionManager
from server.session.disk import DiskHome
from tests.server.session.states import ANN, kept_in, same, snapshot

BLOCK = 4096
_WARNED: list[str] = []


class Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _WARNED.append(record.getMessage())


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def fill(path: Path, blocks: int) -> None:
    """All of the disk but so many blocks."""
    with path.open("wb", buffering=0) as file:
        while os.statvfs(path).f_bavail > blocks:
            try:
                file.write(b"\0" * BLOCK)
            except OSError:
                return


async def keep(sessions: SessionManager, number: int) -> None:
    """The conversation goes on, wherever it is kept."""
    sessions.keep(ANN, key(number), snapshot(number), None)
    await sessions.kept()
    found = (await sessions.resume([key(number)])).snapshot
    assert found is not None
    assert same(found, snapshot(number))


async def states(folder: Path) -> None:
    data, filler = folder / "data", folder / "filler"
    async with kept_in(data, memory=10**6) as sessions:
        assert sessions._archive is not None
        ((home, counts),) = sessions._archive.places
        for blocks in range(12):  # the index, its journal and the files come to their ends in turn
            errors = counts.errors
            _WARNED.clear()
            fill(filler, blocks)
            for number in range(40):
                await keep(sessions, 100 * blocks + number)
            assert counts.errors > errors, "the disk was never full"
            assert len(_WARNED) == 1, _WARNED
            filler.unlink()
            await keep(sessions, 100 * blocks + 50)
            assert home.find([key(100 * blocks + 50)]) is not None, "archiving did not resume"
            check(data, home)
    async with kept_in(data) as sessions:  # after a restart too
        assert sessions._archive is not None
        ((home, _),) = sessions._archive.places
        check(data, home)


def check(data: Path, home: DiskHome) -> None:
    """Every file is whole and counted, and there are no others."""
    assert not list((data / "new").iterdir())
    files = list((data / "states").rglob("*.state"))
    for path in files:
        assert Packing().unpack(bytes.fromhex(path.stem), path.read_bytes()) is not None
    counted = home.contents()
    assert (len(files), BLOCK * len(files)) == (counted.snapshots, counted.nbytes)


async def documents(folder: Path) -> None:
    path, filler = folder / "documents.sqlite3", folder / "filler"
    records = KeptRecords(10**6)
    records.open(path)
    records.put("me", "note", "before", {"text": "x" * 5000})
    records.close()
    records = KeptRecords(10**6)
    records.open(path)
    _WARNED.clear()
    fill(filler, 0)
    for number in range(20):
        records.put("me", "note", str(number), {"text": "x" * 5000})
        assert await records.get("me", "note", str(number))
        await asyncio.sleep(0.01)
    assert len(_WARNED) == 1, _WARNED
    filler.unlink()
    records.put("me", "note", "after", {"text": "x" * 5000})
    records.close()
    records = KeptRecords(10**6)
    records.open(path)
    assert await records.get("me", "note", "before")
    assert await records.get("me", "note", "after")
    records.close()


if __name__ == "__main__":
    logging.getLogger().addHandler(Warnings(logging.WARNING))
    asyncio.run(states(Path(sys.argv[1])))
    asyncio.run(documents(Path(sys.argv[1])))
