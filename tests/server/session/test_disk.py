"""A folder of snapshots: whole files, within its budget, found again."""

import logging
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from server.session import Cipher, Entry, FolderLock, HomeError, Packing, owner_name
from server.session import disk as module
from server.session.folder import StateFolder
from server.session.tensors import Parts
from tests.server.session.states import ANN, BOB, disk, kept_in, same, settled, snapshot

BLOCK = 4096


def entry(number: int, **more: object) -> Entry:
    return Entry(number.to_bytes(32, "big"), None, "model", "ann", 1, used=float(number), **more)


def filled(folder: Path, budget: int, count: int) -> module.DiskHome:
    home = disk(folder, budget)
    for number in range(count):
        home.put([(entry(number), [b"x" * BLOCK])])
    return home


async def test_a_snapshot_comes_back_bit_for_bit_after_a_restart(tmp_path: Path) -> None:
    made = snapshot(1, 2, 3)
    async with kept_in(tmp_path) as sessions:
        sessions.keep(ANN, b"k" * 32, made, None, turns=2)
        await sessions.kept()
    async with kept_in(tmp_path) as sessions:
        found = await sessions.resume([b"j" * 32, b"k" * 32, None])
        assert (found.segments, found.tokens) == (2, 3)
        assert found.snapshot is not None
        assert same(found.snapshot, made)
        (known,) = await sessions.entries("ann")
        assert (known.turns, known.tokens, known.owner) == (2, 3, owner_name("ann"))


async def test_texts_are_found_by_their_ids_after_a_restart(tmp_path: Path) -> None:
    async with kept_in(tmp_path) as sessions:
        sessions.keep_ids(ANN, snapshot(1, 2), 0)
        await sessions.kept()
    async with kept_in(tmp_path) as sessions:
        found = await sessions.resume_ids(ANN, (1, 2, 3))
        assert found is not None
        assert found.tokens == 2
        assert await sessions.resume_ids(BOB, (1, 2, 3)) is None


async def test_what_memory_gave_up_is_read_back(tmp_path: Path) -> None:
    async with kept_in(tmp_path, memory=snapshot(1).nbytes) as sessions:
        for number in (1, 2):
            sessions.keep(ANN, bytes([number]) * 32, snapshot(number), None)
        await sessions.kept()
        assert sessions.recall([b"\x01" * 32]).snapshot is None
        assert (await sessions.resume([b"\x01" * 32])).tokens == 1


async def test_another_callers_snapshots_are_neither_listed_loaded_nor_deleted(
    tmp_path: Path,
) -> None:
    key = b"k" * 32
    async with kept_in(tmp_path) as sessions:
        sessions.keep(ANN, key, snapshot(1), None)
        await sessions.kept()
        assert await sessions.entries("bob") == []
        assert await sessions.load("bob", key) is None
        assert not await sessions.pin("bob", key, True)
        assert await sessions.delete("bob", [key]) == []
        assert await sessions.delete("ann", [key]) == [key]
        assert (await sessions.resume([key])).snapshot is None
    assert not list((tmp_path / "states").rglob("*.state"))


def test_the_budget_holds_and_the_least_recently_used_go(tmp_path: Path) -> None:
    home = filled(tmp_path, 10 * BLOCK, 25)
    files = list((tmp_path / "states").rglob("*.state"))
    assert sum(file.stat().st_size for file in files) == home.contents().nbytes == 10 * BLOCK
    assert {int(file.stem, 16) for file in files} == set(range(15, 25))
    home.close()


def test_inner_entries_go_first_and_pinned_ones_never(tmp_path: Path) -> None:
    home = filled(tmp_path, 4 * BLOCK, 3)
    home.pin(entry(0).key, True)
    home.put([(Entry(b"c" * 32, entry(2).key, "model", "ann", 1, used=9.0), [b"x" * BLOCK])])
    home.put([(entry(8), [b"x" * BLOCK])])
    assert {e.key for e in home.entries("ann")} == {
        *(entry(number).key for number in (0, 1, 8)),
        b"c" * 32,
    }
    home.close()


def test_one_larger_than_the_budget_is_refused_and_evicts_nothing(tmp_path: Path) -> None:
    home = filled(tmp_path, 3 * BLOCK, 3)
    home.put([(entry(9), [b"x" * (3 * BLOCK + 1)])])
    assert (home.contents().snapshots, home.contents().evicted) == (3, 0)
    home.close()


def test_old_ones_go_and_pinned_ones_stay(tmp_path: Path) -> None:
    home = filled(tmp_path, 10 * BLOCK, 2)
    home.pin(entry(0).key, True)
    home.close()
    home = settled(disk(tmp_path, 10 * BLOCK, days=1.0))
    assert [e.key for e in home.entries("ann")] == [entry(0).key]
    home.close()


@pytest.mark.parametrize("how", ["missing", "damaged"])
async def test_an_index_is_made_anew_from_the_files(tmp_path: Path, how: str) -> None:
    async with kept_in(tmp_path) as sessions:
        sessions.keep(ANN, b"k" * 32, snapshot(1, 2), None, turns=3)
        await sessions.pin("ann", b"k" * 32, True)
    index = tmp_path / "index.sqlite3"
    if how == "missing":
        index.unlink()
    else:
        index.write_bytes(b"no index" * 1000)
    async with kept_in(tmp_path) as sessions:
        (known,) = await sessions.entries("ann")
        assert (known.tokens, known.turns, known.pinned) == (2, 3, True)


async def test_a_damaged_file_is_not_taken_for_a_state(tmp_path: Path) -> None:
    async with kept_in(tmp_path) as sessions:
        sessions.keep(ANN, b"j" * 32, snapshot(1), None)
        sessions.keep(ANN, b"k" * 32, snapshot(1, 2), b"j" * 32)
        await sessions.kept()
    path = next((tmp_path / "states").rglob("6b*.state"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    async with kept_in(tmp_path) as sessions:
        assert (await sessions.resume([b"j" * 32, b"k" * 32])).segments == 1


async def test_only_the_key_that_encrypted_opens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = b"k" * 32
    async with kept_in(tmp_path, Packing(cipher=Cipher("ab" * 32))) as sessions:
        sessions.keep(ANN, key, snapshot(1), None)
        await sessions.kept()
    assert b"fingerprint" not in next((tmp_path / "states").rglob("*.state")).read_bytes()
    for cipher, tokens in ((None, 0), (Cipher("cd" * 32), 0), (Cipher("ab" * 32), 1)):
        caplog.clear()
        async with kept_in(tmp_path, Packing(cipher=cipher)) as sessions:
            for _ in range(2):
                assert (await sessions.resume([key])).tokens == tokens
        warned = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert len(warned) == (tokens == 0)


def test_a_sealed_file_under_another_name_does_not_open() -> None:
    cipher = Cipher("ab" * 32)
    with pytest.raises(ValueError, match="damaged"):
        cipher.open(b"other", cipher.seal(b"name", b"text"))


async def test_a_full_disk_leaves_memory_one_warning_and_a_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    async with kept_in(tmp_path) as sessions:
        monkeypatch.setattr(os, "fsync", full)
        for number in (1, 2, 3):
            sessions.keep(ANN, bytes([number]) * 32, snapshot(number), None)
            await sessions.kept()
            assert (await sessions.resume([bytes([number]) * 32])).tokens == 1
        assert [r.message for r in caplog.records if r.levelno >= logging.WARNING] == [
            "conversations are kept without the disk archive for now: "
            "it cannot be written: No space left on device"
        ]
        monkeypatch.undo()
        sessions.keep(ANN, b"k" * 32, snapshot(4), None)
        await sessions.kept()
    assert [p.stem for p in (tmp_path / "states").rglob("*.state")] == [(b"k" * 32).hex()]
    assert not list((tmp_path / "new").iterdir())


def test_of_files_written_together_the_whole_ones_count_though_others_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = StateFolder.write

    def broken(folder: StateFolder, key: bytes, parts: Parts) -> None:
        if key == entry(2).key:
            raise OSError(28, "No space left on device")
        real(folder, key, parts)

    monkeypatch.setattr(StateFolder, "write", broken)
    home = disk(tmp_path, 10 * BLOCK)
    with pytest.raises(HomeError, match="No space left"):
        home.put([(entry(number), [b"x" * BLOCK]) for number in (1, 2)])
    assert (home.contents().snapshots, home.contents().nbytes) == (1, BLOCK)
    home.delete([entry(1).key])
    assert (home.contents().snapshots, home.contents().nbytes) == (0, 0)
    assert not list((tmp_path / "states").rglob("*.state"))
    home.close()


def test_an_index_of_exact_sizes_counts_whole_blocks_from_now_on(tmp_path: Path) -> None:
    home = filled(tmp_path, 10 * BLOCK, 2)
    home._index.put([entry(1, nbytes=BLOCK - 5)])
    home.close()
    home = settled(disk(tmp_path, 10 * BLOCK))
    assert home.contents().nbytes == 2 * BLOCK
    home.close()


def test_one_folder_serves_one_process(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "data")
    with pytest.raises(HomeError, match="in use by another server"):
        FolderLock(tmp_path / "data")
    lock.release()
    FolderLock(tmp_path / "data").release()


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    filled(tmp_path / "data", 10 * BLOCK, 1).close()
    for path in (tmp_path / "data").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_lookups_do_not_slow_down_with_what_is_kept(tmp_path: Path) -> None:
    home = disk(tmp_path, 10**9)
    home._index.put([entry(number) for number in range(100_000)])
    home.put([(entry(100_001), [b"x"])])
    start = time.perf_counter()
    assert home.find([entry(3).key, entry(100_001).key]) == (entry(100_001).key, b"x")
    assert home.lengths("model", "nobody") == []
    assert len(home._index.cheapest(64)) == 64
    assert time.perf_counter() - start < 0.2
    home.close()


def test_folders_of_files_written_together_are_synced_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after another, each would have the disk make sure of all once more."""
    real, meeting = os.fsync, threading.Barrier(4)

    def met(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            meeting.wait(5)
        real(descriptor)

    home = disk(tmp_path, 10 * BLOCK)
    monkeypatch.setattr(os, "fsync", met)
    batch = [(Entry(bytes([number]) * 32, None, "model", "ann", 1), [b"x"]) for number in range(4)]
    home.put(batch)
    assert home.contents().snapshots == 4
    home.close()
