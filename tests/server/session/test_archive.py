"""Homes that hang: nobody waits for them for long, and what waits for them is bounded."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from server.session import Archive, Packing, SessionManager, SnapshotStore
from server.session.disk import DiskHome
from tests.server.session.states import ANN, disk, entry, snapshot

PATIENCE_S = 0.2
ONE = snapshot(1).nbytes


class Hanging(DiskHome):
    """Writes and reads wait at a gate, which is open at first."""

    def __init__(self, folder: Path) -> None:
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(folder, 10**8, describe=Packing().describe)

    def put(self, *args: Any) -> None:
        self.gate.wait(10)
        super().put(*args)

    def lacks(self, *_: Any) -> bool:
        return False

    def find(self, *args: Any) -> Any:
        self.gate.wait(10)
        return super().find(*args)


@asynccontextmanager
async def hanging(folder: Path, **more: Any) -> AsyncIterator[tuple[SessionManager, Hanging]]:
    home = Hanging(folder)
    archive = Archive(lambda: [home], Packing(), patience_s=PATIENCE_S, **more)
    archive.open()
    try:
        yield SessionManager(SnapshotStore(10**8), archive), home
    finally:
        home.gate.set()
        await archive.close()


async def seconds(waiting: Any) -> float:
    began = time.perf_counter()
    await waiting
    return time.perf_counter() - began


async def test_a_store_that_hangs_is_waited_for_once_and_again_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with hanging(tmp_path) as (sessions, home):
        home.gate.clear()
        sessions.keep(ANN, b"a" * 32, snapshot(1), None)
        assert PATIENCE_S <= await seconds(sessions.kept()) < 5
        sessions.keep(ANN, b"b" * 32, snapshot(2), None)
        assert await seconds(sessions.kept()) < PATIENCE_S
        assert (await sessions.resume([b"b" * 32])).tokens == 1
        home.gate.set()
        async with asyncio.timeout(5):
            while home.contents().snapshots < 2 or sessions._archive._writes.hangs:  # type: ignore[union-attr]
                await asyncio.sleep(0.01)
                await sessions.kept()
        sessions.keep(ANN, b"c" * 32, snapshot(3), None)
        await sessions.kept()
        assert home.contents().snapshots == 3
    assert [record.message for record in caplog.records] == [
        "an archive hangs in a write: conversations go on without it"
    ]


async def test_a_read_that_hangs_finds_nothing_and_the_next_one_does_not_wait(
    tmp_path: Path,
) -> None:
    key = b"k" * 32
    async with hanging(tmp_path) as (sessions, home):
        sessions.keep(ANN, key, snapshot(1), None)
        await sessions.kept()
        sessions._store.delete([key])
        home.gate.clear()
        assert PATIENCE_S <= await seconds(sessions.resume([key])) < 5
        assert await seconds(sessions.resume([key])) < PATIENCE_S
        home.gate.set()
        async with asyncio.timeout(5):
            while (await sessions.resume([key])).tokens == 0:
                await asyncio.sleep(0.01)


async def test_an_application_ends_with_one_warning_though_its_store_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = Hanging(tmp_path)
    archive = Archive(lambda: [home], Packing(), patience_s=PATIENCE_S)
    archive.open()
    home.gate.clear()
    archive.put(entry("a"), snapshot(1))
    assert await seconds(archive.close()) < 5
    assert caplog.messages == [
        "conversations that wait to be written are lost: their archive hangs"
    ]
    home.gate.set()


async def test_reads_during_and_after_a_close_that_hangs_find_nothing(tmp_path: Path) -> None:
    home = Hanging(tmp_path)
    archive = Archive(lambda: [home], Packing(), patience_s=PATIENCE_S)
    archive.open()
    home.gate.clear()
    archive.put(entry("a"), snapshot(1))
    closing = asyncio.ensure_future(archive.close())
    await asyncio.sleep(1.5 * PATIENCE_S)  # it waits twice the patience: these reads outlast it
    reads = [asyncio.ensure_future(archive.find([b"k" * 32])) for _ in range(8)]
    await closing
    late = await archive.find([b"k" * 32])
    found = await asyncio.gather(*reads, return_exceptions=True)
    home.gate.set()
    assert [late, *found] == [None] * 9


class Asked(DiskHome):
    """asked: the keys that were looked for."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[bytes] = []
        super().__init__(folder, 10**8, describe=Packing().describe)

    def find(self, keys: Any) -> Any:
        self.asked += keys
        return super().find(keys)


async def test_what_a_home_is_known_to_lack_is_not_looked_for(tmp_path: Path) -> None:
    home = disk(tmp_path)
    home.put([(entry("a"), [b"x"])])
    home.close()
    home = Asked(tmp_path)
    archive = Archive(lambda: [home], Packing())
    archive.open()
    new, old, later = (entry(name).key for name in "zab")
    await archive.find([new])
    assert home.asked in ([], [new])  # its files may not have been looked through yet
    assert await archive.complete()
    home.asked.clear()
    assert await archive.find([new, later]) is None
    assert home.asked == []
    await archive.find([new, old])
    assert home.asked == [new, old]
    archive.put(entry("b"), snapshot(1))
    await archive.written()
    assert await archive.find([new, later]) is not None
    await archive.delete([later])
    home.asked.clear()
    assert await archive.find([new, later]) is None
    assert home.asked == []
    await archive.close()
