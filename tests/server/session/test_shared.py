"""Snapshots in a real Redis that two servers share."""

import asyncio
import logging
import time
from pathlib import Path

import pytest
from redis import Redis

from server.session import Archive, Home, Packing, SessionManager, SnapshotStore, owner_name
from server.session.shared import SharedHome
from server.valkey import Valkey
from tests.server.redis import free_port, redis_at
from tests.server.session.states import ANN, BOB, disk, same, snapshot

KEY = b"k" * 32
OWNER = owner_name("ann")


@pytest.fixture
def port() -> int:
    return free_port()


def sessions_at(port: int, folder: Path | None = None) -> tuple[SessionManager, Archive]:
    """Those of a server with this store, and a disk as well if there is a folder."""

    def homes() -> list[Home]:
        near: list[Home] = [disk(folder)] if folder else []
        return [*near, SharedHome(Valkey(f"redis://127.0.0.1:{port}/0", days=1))]

    archive = Archive(homes, Packing())
    archive.open()
    return SessionManager(SnapshotStore(10**8), archive), archive


async def test_two_servers_continue_each_others_conversations(tmp_path: Path, port: int) -> None:
    with redis_at(tmp_path, port):
        (one, first), (other, second) = sessions_at(port), sessions_at(port)
        made = snapshot(1, 2)
        one.keep(ANN, KEY, made, None, turns=1)
        await one.kept()
        found = (await other.resume([b"j" * 32, KEY])).snapshot
        assert found is not None
        assert same(found, made)
        other.keep_ids(BOB, snapshot(4, 5), 0)
        await other.kept()
        assert await one.resume_ids(ANN, (4, 5, 6)) is None
        text = await one.resume_ids(BOB, (4, 5, 6))
        assert text is not None
        assert text.tokens == 2
        await first.close()
        await second.close()


async def test_a_snapshot_of_the_shared_store_can_be_listed_pinned_and_deleted(
    tmp_path: Path, port: int
) -> None:
    with redis_at(tmp_path, port):
        (one, first), (other, second) = sessions_at(port), sessions_at(port)
        one.keep(ANN, KEY, snapshot(1, 2), None, turns=1)
        assert await one.pin("ann", KEY, True)
        (known,) = await other.entries("ann")
        assert (known.tokens, known.turns, known.pinned, known.tier) == (2, 1, True, "shared")
        assert await other.delete("ann", [KEY]) == [KEY]
        assert await second.find([KEY]) is None
        await first.close()
        await second.close()


async def test_a_server_that_was_away_learns_what_was_deleted_meanwhile(
    tmp_path: Path, port: int
) -> None:
    other = b"j" * 32
    with redis_at(tmp_path, port):
        away, its = sessions_at(port, tmp_path / "away")
        for key in (KEY, other):
            away.keep(ANN, key, snapshot(1, 2), None)
        await away.kept()
        await its.close()
        here, archive = sessions_at(port)
        assert set(await here.delete("ann", [KEY, other])) == {KEY, other}
        here.keep(ANN, other, snapshot(1, 2), None)  # kept again
        await here.kept()
        back, its = sessions_at(port, tmp_path / "away")
        assert [(e.key, e.tier) for e in await back.entries("ann")] == [(other, "disk")]
        assert len(list(tmp_path.glob("away/states/*/*.state"))) == 1
        await its.close()
        await archive.close()


async def test_what_the_store_has_given_up_is_deleted_from_every_disk_all_the_same(
    tmp_path: Path, port: int
) -> None:
    with redis_at(tmp_path, port), Redis(port=port) as redis:
        (one, first), (two, second) = (sessions_at(port, tmp_path / name) for name in "ab")
        for sessions in (one, two):
            sessions.follow()
            sessions.keep(ANN, KEY, snapshot(1, 2), None)
            await sessions.kept()
        redis.flushall()
        assert await one.delete("ann", [KEY]) == [KEY]
        assert await two.entries("ann") == []
        assert list(tmp_path.glob("?/states/*/*.state")) == []
        await first.close()
        await second.close()


async def test_memory_forgets_what_another_server_deletes_or_unpins(
    tmp_path: Path, port: int
) -> None:
    other = b"j" * 32
    with redis_at(tmp_path, port):
        (one, first), (two, second) = sessions_at(port), sessions_at(port)
        two.follow()
        for key in (KEY, other):
            two.keep(ANN, key, snapshot(1, 2), None)
        await two.kept()
        assert await two.pin("ann", other, True)
        await one.delete("ann", [KEY])
        await one.pin("ann", other, False)
        async with asyncio.timeout(30):
            while two.recall([KEY]).segments or two._store.pinned_nbytes:
                await asyncio.sleep(0.01)
        assert two.recall([other]).segments == 1
        await first.close()
        await second.close()


async def test_what_is_pinned_is_listed_however_long_it_was_not_used(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_at(tmp_path, port):
        sessions, archive = sessions_at(port)
        sessions.keep(ANN, KEY, snapshot(1, 2), None)
        assert await sessions.pin("ann", KEY, True)
        later = time.time() + 10 * 86400
        monkeypatch.setattr(time, "time", lambda: later)
        sessions.keep(ANN, b"j" * 32, snapshot(3), None)
        await sessions.kept()
        assert KEY in {entry.key for entry in await archive.entries(OWNER)}
        await archive.close()


async def test_the_store_knows_what_all_servers_have_pinned(tmp_path: Path, port: int) -> None:
    other = b"j" * 32
    with redis_at(tmp_path, port), Redis(port=port) as redis:
        redis.config_set("maxmemory", 2**24)
        (one, first), (_, second) = sessions_at(port), sessions_at(port)
        for key in (KEY, other):
            one.keep(ANN, key, snapshot(1, 2), None)
        await one.pin("ann", KEY, True)
        (pins,) = await second.pins([KEY, other])
        assert (pins.tier, pins.budget, pins.pinned) == ("shared", 2**24, pins.added)
        assert pins.pinned > 0
        await one.pin("ann", other, True)
        await one.pin("ann", KEY, False)
        await one.delete("ann", [other])
        (pins,) = await second.pins([])
        assert pins.pinned == 0
        await first.close()
        await second.close()


async def test_a_lost_store_leaves_memory_and_is_found_again(
    tmp_path: Path,
    port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.valkey.client._RETRY_S", 0.0)
    sessions, archive = sessions_at(port)
    for number in (1, 2):
        sessions.keep(ANN, bytes([number]) * 32, snapshot(number), None)
        await sessions.kept()
        assert (await sessions.resume([bytes([number]) * 32])).tokens == 1
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    with redis_at(tmp_path, port):
        sessions.keep(ANN, KEY, snapshot(3), None)
        await sessions.kept()
        assert await archive.find([KEY]) is not None
        ((_, counts),) = archive.places
        assert counts.writes == 1
        assert counts.errors >= 2
        await archive.close()
