"""Fills the disk of a folder around an archive, again and again; ends with an error if one is lost.

A program, as it runs where nothing else can see the file system: test_full_disk.py starts it.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

from server.batches import Batches
from server.errors import NoRoom
from server.files import FileStore
from server.records import KeptRecords
from server.session import Cipher, Packing, SessionManager
from server.session.disk import DiskHome
from tests.server.batches.test_batches import ENDPOINT, Server, until
from tests.server.batches.test_batches import line as request
from tests.server.session.states import ANN, kept_in, same, snapshot
from tests.server.uploads import add

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


def hidden(folder: Path) -> list[Path]:
    """What is neither a file of somebody's nor the record of a batch."""
    whole = {".json", ".data"}
    return [p for p in folder.rglob("*") if p.is_file() and p.suffix not in whole]


async def files(folder: Path, seal: Cipher | None) -> None:
    """Uploads are refused, a batch that cannot write its answers fails; later all goes on."""
    store, filler = FileStore(folder / "files", seal=seal), folder / "filler"
    server = Server()
    batches = Batches(store, together=2)
    batches.call = server
    requests = b"\n".join(request(f"p{number}") for number in range(50))

    def upload(data: bytes) -> str:
        return add(store, data).id

    good = upload(requests)
    ends = set[str]()
    for blocks in (0, 1, 2, 6, 16, 28):
        server.held = {"p40"}
        batch = batches.create("ann", ENDPOINT, good)
        await until(lambda: batch.completed == 49)  # noqa: B023
        fill(filler, blocks)
        try:
            upload(b"x" * BLOCK * 40)
        except NoRoom:
            pass
        else:
            raise AssertionError("the disk was never full")
        try:
            created = batches.create("ann", ENDPOINT, good)
        except NoRoom:
            ends.add("refused")
        else:
            server.held = set()
            await until(lambda: created.ended)  # noqa: B023
            ends.add(created.status)
            if created.status == "failed":
                assert [f["code"] for f in created.errors] == ["insufficient_storage"]
        batches.cancel("ann", batch.id)
        await until(lambda: batch.ended)  # noqa: B023
        assert batch.status in {"cancelled", "failed"}
        filler.unlink()
        server.held = set()
        await batches.tidy()
        assert hidden(folder / "files") == []
        assert batch.completed == 49
        assert batch.output_file_id is not None
        with store.open("ann", batch.output_file_id) as source:
            assert len(source.readlines()) == 49
        again = batches.create("ann", ENDPOINT, upload(requests))
        await until(lambda: again.ended)  # noqa: B023
        assert (again.status, again.completed) == ("completed", 50)
    assert ends == {"refused", "failed", "completed"}
    await batches.stop()


if __name__ == "__main__":
    logging.getLogger().addHandler(Warnings(logging.WARNING))
    asyncio.run(states(Path(sys.argv[1])))
    asyncio.run(documents(Path(sys.argv[1])))
    for part, seal in (("clear", None), ("sealed", Cipher("ab" * 32))):
        asyncio.run(files(Path(sys.argv[1]) / part, seal))
