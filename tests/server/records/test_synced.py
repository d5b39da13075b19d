"""Documents that servers share in a real Redis: who sees what, and when."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from server.records import Edit, TooLarge
from server.session import Cipher
from tests.server.records.servers import FILE, kept, sharing
from tests.server.redis import free_port, redis_at

NOTE = ("me", "note")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    port = free_port()
    with redis_at(tmp_path, port):
        yield port


def add(*ids: str) -> Edit:
    return Edit("add", ("items",), [{"id": id} for id in ids])


def ids(document: dict | None) -> list[str]:
    assert document is not None
    return [item["id"] for item in document["items"]]


async def test_what_one_has_written_another_gets_lists_and_changes(
    port: int, tmp_path: Path
) -> None:
    async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
        for id in "cab":
            await kept(here, id, {"id": id, "items": []})
        assert await there.get(*NOTE, "a") == {"id": "a", "items": []}
        assert [one["id"] for one in await there.list(*NOTE)] == ["c", "a", "b"]
        assert ids(await there.edit(*NOTE, "c", add("x"))) == ["x"]
        assert ids(await here.get(*NOTE, "c")) == ["x"]
        assert [one["id"] for one in await here.list(*NOTE)] == ["c", "a", "b"]
        for owner, kind in (("you", "note"), ("me", "list")):
            assert await there.get(owner, kind, "a") is None
            assert await there.list(owner, kind) == []


async def test_what_one_deletes_no_other_finds_in_memory_or_on_disk(
    port: int, tmp_path: Path
) -> None:
    async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
        await kept(here, "a", {"text": "secret" * 100})
        assert await there.get(*NOTE, "a")
        await here.delete(*NOTE, "a")
        assert await there.list(*NOTE) == []
        assert await there.get(*NOTE, "a") is None
        await kept(there, "b", {})
    files = [path.read_bytes() for path in tmp_path.glob(f"?/{FILE}*")]
    assert len(files) >= 2
    assert not any(b"secret" in data for data in files)


async def test_a_deletion_reaches_disks_though_nobody_asks(port: int, tmp_path: Path) -> None:
    async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
        await kept(here, "a", {})
        assert await there.get(*NOTE, "a") == {}
        await here.delete(*NOTE, "a")
        async with asyncio.timeout(30):
            while list(there._near.names()):
                await asyncio.sleep(0.05)


async def test_a_server_that_was_away_does_not_bring_back_what_was_deleted(
    port: int, tmp_path: Path
) -> None:
    async with sharing(port, tmp_path / "a") as here:
        async with sharing(port, tmp_path / "b") as away:
            for id in "ab":
                await kept(away, id, {"id": id})
        await here.delete(*NOTE, "a")
        async with sharing(port, tmp_path / "b") as back:
            assert [name[2] for name in back._near.names()] == ["b"]
            assert await back.get(*NOTE, "a") is None
            assert not await late(back, "a")
            assert await here.get(*NOTE, "a") is None


async def late(records, id: str) -> dict | None:
    """An answer that ends when it was deleted already is put once more."""
    await kept(records, id, {"id": id})
    return await records.get(*NOTE, id)


async def test_after_longer_than_deletions_are_remembered_the_store_alone_knows(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sharing(port, tmp_path / "b") as away:
        for id in "ab":
            await kept(away, id, {"id": id})
    with Redis(port=port) as redis:  # as if "a" had been deleted, and that forgotten
        deleted = next(key for key in redis.scan_iter("*:document:*") if b'"a"' in redis.get(key))
        redis.delete(deleted)
    later = time.time() + 2 * 86400
    monkeypatch.setattr("server.records.sharing.time.time", lambda: later)
    async with sharing(port, tmp_path / "b") as back:
        assert await back.list(*NOTE) == [{"id": "b"}]


async def test_items_that_two_add_at_the_same_moment_are_all_there(
    port: int, tmp_path: Path
) -> None:
    async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
        await kept(here, "a", {"items": []})
        names = [f"{n}{server}" for n in range(40) for server in "ab"]
        servers = {"a": here, "b": there}
        await asyncio.gather(*(servers[name[-1]].edit(*NOTE, "a", add(name)) for name in names))
        for records in (here, there):
            assert sorted(ids(await records.get(*NOTE, "a"))) == sorted(names)


async def test_an_item_is_removed_of_what_another_has_added_to(port: int, tmp_path: Path) -> None:
    async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
        await kept(here, "a", {"items": [{"id": "1"}], "about": {"metadata": {}}})
        await there.edit(*NOTE, "a", add("2"))
        await here.edit(*NOTE, "a", Edit("remove", ("items",), "1"))
        await there.edit(*NOTE, "a", Edit("set", ("about", "metadata"), {"k": "v"}))
        found = await here.get(*NOTE, "a")
        assert found == {"items": [{"id": "2"}], "about": {"metadata": {"k": "v"}}}


async def test_a_document_that_would_grow_too_large_stays_as_it_was(
    port: int, tmp_path: Path
) -> None:
    async with (
        sharing(port, tmp_path / "a", budget=8_000) as here,
        sharing(port, tmp_path / "b") as there,
    ):
        await kept(here, "a", {"items": []})
        with pytest.raises(TooLarge):
            await here.edit(*NOTE, "a", add("x" * 2_000))
        for records in (here, there):
            assert ids(await records.get(*NOTE, "a")) == []


async def test_what_the_store_has_lost_comes_back_with_its_use_and_the_latest_counts(
    port: int, tmp_path: Path
) -> None:
    async with sharing(port, tmp_path / "a") as here, sharing(port, tmp_path / "b") as there:
        await kept(here, "a", {"items": []})
        assert ids(await there.get(*NOTE, "a")) == []
        await here.edit(*NOTE, "a", add("x"))
        with Redis(port=port) as redis:
            redis.flushall()
        assert ids(await there.get(*NOTE, "a")) == []  # what it still has
        assert ids(await here.get(*NOTE, "a")) == ["x"]
        assert ids(await there.get(*NOTE, "a")) == ["x"]
        assert [ids(one) for one in await there.list(*NOTE)] == [["x"]]


async def test_documents_are_encrypted_in_the_store_and_left_alone_by_another_key(
    port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = [Cipher(letter * 64) for letter in "abc"]
    async with (
        sharing(port, tmp_path / "a", seal=keys[0]) as here,
        sharing(port, tmp_path / "b", seal=Cipher("a" * 64)) as there,
        sharing(port, tmp_path / "c", seal=keys[1]) as other,
        sharing(port, tmp_path / "d") as open_one,
    ):
        await kept(here, "a", {"items": [{"id": "secret"}]})
        assert ids(await there.get(*NOTE, "a")) == ["secret"]
        with Redis(port=port) as redis:
            stored = [redis.dump(key) for key in redis.scan_iter("*")]
        assert not any(b"secret" in data for data in stored)
        for stranger in (other, open_one):
            assert await stranger.get(*NOTE, "a") is None
            assert await stranger.list(*NOTE) == []
            assert await stranger.edit(*NOTE, "a", add("x")) is None
        assert ids(await here.get(*NOTE, "a")) == ["secret"]
    assert any("another key" in record.message for record in caplog.records)


async def test_everything_in_the_store_has_an_end_but_while_it_is_used(
    port: int, tmp_path: Path
) -> None:
    redis = Redis(port=port)
    async with sharing(port, tmp_path / "a", days=1) as here:
        await kept(here, "a", {"items": []})
        await kept(here, "b", {})
        await here.delete(*NOTE, "b")
        keys = [key for key in redis.scan_iter("*") if not key.endswith(b"-changes")]
        assert len(keys) == 4  # two documents, their index, and the server
        assert all(redis.ttl(key) > 0 for key in keys)
        for use in (here.get(*NOTE, "a"), here.edit(*NOTE, "a", add("x"))):
            for key in keys:
                redis.expire(key, 10)
            await use
            assert sum(redis.ttl(key) > 10 for key in keys) >= 2  # the document, and its index
    redis.close()


async def test_a_server_is_known_to_run_until_it_ends(port: int, tmp_path: Path) -> None:
    async with sharing(port, tmp_path / "a") as here:
        async with sharing(port, tmp_path / "b") as there:
            assert await here.elsewhere(there.server)
            assert not await here.elsewhere(here.server)
        assert not await here.elsewhere(there.server)
