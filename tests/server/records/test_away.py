"""Documents of servers whose shared store goes away, hangs or is full, and comes back."""

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from server.errors import ArchiveUnavailable
from server.records import Edit
from tests.server.records.servers import kept, sharing
from tests.server.records.test_synced import NOTE, add, ids
from tests.server.redis import free_port, redis_at


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.valkey.client._RETRY_S", 0.0)
    monkeypatch.setattr("server.records.sharing._LOOK_S", 0.05)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.levelno == logging.WARNING]


async def back(records) -> None:
    """Wait until the store is there again, and has been told everything."""
    async with asyncio.timeout(30):
        while records.waiting or records._sharing.away:
            await asyncio.sleep(0.02)


async def test_what_is_put_and_changed_meanwhile_gets_there_when_it_is_back(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with sharing(port, tmp_path / "a") as here:
        with redis_at(tmp_path, port):
            await back(here)
            await kept(here, "old", {"items": [{"id": "1"}], "about": {"metadata": {}}})
        caplog.clear()
        await kept(here, "new", {"items": []})
        assert ids(await here.edit(*NOTE, "new", add("x"))) == ["x"]
        await here.edit(*NOTE, "old", add("2"))
        await here.edit(*NOTE, "old", Edit("remove", ("items",), "1"))
        assert [ids(one) for one in await here.list(*NOTE)] == [["2"], ["x"]]
        assert ids(await here.get(*NOTE, "old")) == ["2"]
        await asyncio.sleep(0.3)  # in which it is looked for several times
        assert len(warnings(caplog)) == 1
        assert here.waiting == 2
        with redis_at(tmp_path, port):
            async with sharing(port, tmp_path / "b") as there:
                await there.list(*NOTE)
                await back(here)
                # The store came back empty: the edited one is there as it was here.
                assert ids(await there.get(*NOTE, "old")) == ["2"]
                assert ids(await there.get(*NOTE, "new")) == ["x"]


async def test_what_others_have_changed_while_one_was_cut_off_is_not_undone(
    port: int, tmp_path: Path
) -> None:
    with redis_at(tmp_path, port):
        async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
            await kept(here, "a", {"items": [{"id": "1"}]})
            assert await there.get(*NOTE, "a")
            cut_off(here, True)
            await here.edit(*NOTE, "a", add("2"))
            await there.edit(*NOTE, "a", add("3"))
            await there.edit(*NOTE, "a", Edit("remove", ("items",), "1"))
            assert ids(await here.get(*NOTE, "a")) == ["1", "2"]
            cut_off(here, False)
            await back(here)
            for records in (here, there):
                assert ids(await records.get(*NOTE, "a")) == ["3", "2"]


async def test_what_was_deleted_while_one_was_cut_off_stays_deleted(
    port: int, tmp_path: Path
) -> None:
    with redis_at(tmp_path, port):
        async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
            await kept(here, "a", {"items": []})
            cut_off(here, True)
            await here.edit(*NOTE, "a", add("2"))
            await there.delete(*NOTE, "a")
            cut_off(here, False)
            await back(here)
            for records in (here, there):
                assert await records.get(*NOTE, "a") is None


def cut_off(records, cut: bool) -> None:
    """This server alone."""
    records._store._store._away_until = time.monotonic() + 3600 if cut else 0.0
    records._sharing.away = cut


async def test_what_waits_outlives_the_server(port: int, tmp_path: Path) -> None:
    with redis_at(tmp_path, port):
        async with sharing(port, tmp_path / "b") as there:
            await kept(there, "a", {"items": []})
            async with sharing(port, tmp_path / "a") as here:
                assert await here.get(*NOTE, "a")
                cut_off(here, True)
                await kept(here, "new", {"items": [{"id": "1"}]})
                await here.edit(*NOTE, "a", add("2"))
            assert await there.get(*NOTE, "new") is None
            async with sharing(port, tmp_path / "a") as here:
                await back(here)
                assert ids(await there.get(*NOTE, "new")) == ["1"]
                assert ids(await there.get(*NOTE, "a")) == ["2"]


async def test_without_the_store_nothing_is_said_to_be_missing_or_deleted(
    port: int, tmp_path: Path
) -> None:
    async with sharing(port, tmp_path / "a") as here:
        await kept(here, "a", {})
        with pytest.raises(ArchiveUnavailable):
            await here.get(*NOTE, "other")
        with pytest.raises(ArchiveUnavailable):
            await here.edit(*NOTE, "other", add("x"))
        with pytest.raises(ArchiveUnavailable):
            await here.delete(*NOTE, "a")
        with pytest.raises(ArchiveUnavailable):
            await here.list(*NOTE, whole=True)
        assert await here.get(*NOTE, "a") == {}
        assert await here.elsewhere("another")


async def test_a_store_that_hangs_is_waited_for_once_and_holds_up_nothing_else(
    port: int, tmp_path: Path
) -> None:
    with redis_at(tmp_path, port) as redis:
        async with sharing(port, tmp_path / "a") as here:
            await kept(here, "a", {"items": []})
            os.kill(redis.pid, signal.SIGSTOP)
            try:
                ticking = asyncio.create_task(ticks())
                for wait_s in (6.0, 0.5, 0.5):
                    began = time.monotonic()
                    await kept(here, "b", {"items": []})
                    await here.edit(*NOTE, "a", add(str(wait_s)))
                    assert len(await here.list(*NOTE)) == 2
                    assert time.monotonic() - began < wait_s
                ticking.cancel()
                with suppress(asyncio.CancelledError):
                    await ticking
            finally:
                os.kill(redis.pid, signal.SIGCONT)
            await back(here)
            async with sharing(port, tmp_path / "b") as there:
                assert len(ids(await there.get(*NOTE, "a"))) == 2


async def ticks() -> None:
    """Breaks where the event loop was held up for longer than a busy machine explains."""
    while True:
        began = time.monotonic()
        await asyncio.sleep(0.01)
        assert time.monotonic() - began < 1.0


async def test_a_full_store_still_gives_out_what_it_has(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_at(tmp_path, port), Redis(port=port) as redis:
        async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
            await kept(here, "a", {"items": []})
            await kept(there, "c", {"items": []})
            redis.config_set("maxmemory", 1)
            await kept(here, "b", {"items": []})
            await here.edit(*NOTE, "a", add("x"))
            assert ids(await there.get(*NOTE, "a")) == []
            assert ids(await here.get(*NOTE, "a")) == ["x"]
            assert ids(await here.get(*NOTE, "c")) == []
            assert warnings(caplog) == [
                "stored documents are not shared for now: the store is full"
            ]
            redis.config_set("maxmemory", 0)
            await back(here)
            assert ids(await there.get(*NOTE, "a")) == ["x"]
            assert ids(await there.get(*NOTE, "b")) == []
