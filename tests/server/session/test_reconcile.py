"""An index that is lost is made anew while everything else goes on."""

import asyncio
import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from server.errors import NotComplete
from server.session import Archive, Cipher, DiskHome, Entry, HomeError, Packing, SessionManager
from server.session import disk as module
from server.session.index import Index
from server.session.store import SnapshotStore
from server.session.tensors import Parts
from tests.server.session.states import disk, settled, snapshot

BLOCK = 4096
PACKING = Packing()


def entry(number: int, **more: object) -> Entry:
    """Each in another folder."""
    return Entry(bytes([number]) * 32, None, "model", "ann", 1, used=float(number), **more)


def packed(number: int) -> tuple[Entry, Parts]:
    return entry(number), PACKING.pack(entry(number), snapshot(number))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DiskHome:
    """Of nine snapshots, none of which its index knows; each tidy() is one small step."""
    monkeypatch.setattr(module, "_STEP_S", 0)
    before = disk(tmp_path)
    before.put([packed(number) for number in range(9)])
    before.close()
    (tmp_path / "index.sqlite3").unlink()
    return disk(tmp_path)


def until_known(home: DiskHome, count: int) -> None:
    while home.contents().snapshots < count:
        assert home.tidy()


def keys(home: DiskHome) -> list[int]:
    return sorted(found.key[0] for found in home.entries("ann"))


def test_what_is_kept_is_found_before_the_index_knows_of_it(home: DiskHome) -> None:
    assert (home.complete, home.entries("ann")) == (False, [])
    found = home.find([b"x" * 32, entry(7).key])
    assert found is not None
    assert PACKING.unpack(*found) is not None
    settled(home)
    assert (home.complete, keys(home)) == (True, list(range(9)))
    assert home.contents().nbytes == 9 * BLOCK
    home.close()


def test_what_is_deleted_meanwhile_is_gone(home: DiskHome, tmp_path: Path) -> None:
    until_known(home, 3)
    home.delete([entry(1).key, entry(7).key])
    assert home.find([entry(1).key, entry(7).key]) is None
    settled(home)
    assert keys(home) == [0, 2, 3, 4, 5, 6, 8]
    assert len(list((tmp_path / "states").rglob("*.state"))) == home.contents().snapshots == 7
    home.close()


def test_what_is_pinned_used_or_written_again_meanwhile_is_so_afterwards(home: DiskHome) -> None:
    until_known(home, 3)
    home.pin(entry(6).key, True)
    home.touch([entry(7).key])
    home.put([packed(8), (replace(entry(9), parent=entry(5).key), [b"x"])])
    settled(home)
    known = {found.key[0]: found for found in home.entries("ann")}
    assert (known[6].pinned, known[5].pinned) == (True, False)
    assert known[7].used > known[6].used
    assert (home.contents().snapshots, home.contents().nbytes) == (10, 10 * BLOCK)
    assert home._index.cheapest(1)[0][0] == entry(5).key  # which another one continues
    home.close()


def test_the_budget_holds_once_it_is_over(home: DiskHome, tmp_path: Path) -> None:
    home.close()
    (tmp_path / "index.sqlite3").unlink()
    home = settled(disk(tmp_path, 4 * BLOCK))
    assert len(list((tmp_path / "states").rglob("*.state"))) == 4
    assert (home.contents().nbytes, home.contents().evicted) == (4 * BLOCK, 5)
    home.close()


def test_one_that_is_killed_in_the_middle_is_gone_on_with(home: DiskHome, tmp_path: Path) -> None:
    until_known(home, 4)  # and never closed
    again = disk(tmp_path)
    assert again.contents().snapshots == 4
    assert keys(settled(again)) == list(range(9))
    again.close()


def test_one_that_fails_is_begun_again(home: DiskHome, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise HomeError("its index cannot be written")

    until_known(home, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Index, "put", full)
        with pytest.raises(HomeError):
            until_known(home, 3)
        assert not home.complete
    assert keys(settled(home)) == list(range(9))
    home.close()


def test_entries_of_files_that_are_gone_go(home: DiskHome, tmp_path: Path) -> None:
    settled(home).close()
    next((tmp_path / "states").rglob("03*.state")).unlink()
    home = settled(disk(tmp_path))
    assert (keys(home), home.contents().nbytes) == ([0, 1, 2, 4, 5, 6, 7, 8], 8 * BLOCK)
    home.close()


def test_its_progress_is_told(
    home: DiskHome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.session.reconcile._TELL_S", 0.0)
    caplog.set_level(logging.INFO, "server")
    settled(home)
    assert "the index is made anew: 1 %, 4 kept states read" in caplog.messages
    assert caplog.messages[-1].startswith("the index has 9 kept states again, after ")
    home.close()


@pytest.mark.parametrize("cipher", [None, Cipher("ab" * 32)])
def test_no_more_of_a_file_is_read_than_its_head(cipher: Cipher | None) -> None:
    packing = Packing(cipher=cipher)
    data = b"".join(packing.pack(entry(1), snapshot(*range(10_000))))
    file = io.BytesIO(data)
    assert packing.describe(entry(1).key, file) == entry(1)
    assert (file.tell() < 2000, len(data) > 40_000) == (True, True)
    with pytest.raises(ValueError, match=r"not encrypted|no snapshot"):
        packing.describe(entry(1).key, io.BytesIO(b"\xff" * 8 + data))


def test_what_was_sealed_as_a_whole_still_opens() -> None:
    cipher = Cipher("ab" * 32)
    whole = cipher.seal(entry(1).key, b"".join(PACKING.pack(entry(1), snapshot(1))))
    packing = Packing(cipher=cipher)
    assert packing.describe(entry(1).key, io.BytesIO(whole)) == entry(1)
    assert packing.unpack(entry(1).key, whole) is not None


def test_a_head_and_the_rest_of_another_file_do_not_pass_for_one() -> None:
    cipher = Cipher("ab" * 32)
    packing = Packing(cipher=cipher)
    one, other = (b"".join(packing.pack(entry(1), snapshot(number))) for number in (1, 2))
    head = 25 + int.from_bytes(one[21:25], "little")
    assert packing.unpack(entry(1).key, one[:head] + one[head:]) is not None
    assert packing.unpack(entry(1).key, one[:head] + other[head:]) is None


async def test_sessions_are_not_told_of_a_part(home: DiskHome) -> None:
    archive = Archive(lambda: [home], PACKING, patience_s=0.05)
    sessions = SessionManager(SnapshotStore(10**6), archive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(home, "tidy", lambda: False)
        archive.open()
        for ask in (sessions.entries("ann"), sessions.delete("ann", [entry(1).key])):
            with pytest.raises(NotComplete):
                await ask
        assert (await sessions.resume([entry(7).key])).tokens == 1
    patch.undo()
    archive.touch(b"k" * 32)  # wakes its thread
    while not home.complete:
        await asyncio.sleep(0.01)
    assert await archive.entries("ann") == home.entries("ann") != []
    await archive.close()
