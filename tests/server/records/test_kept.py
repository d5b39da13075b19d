"""Documents on disk: what is there after a restart, in which order, and what is gone."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.records import KeptRecords, MemoryRecords
from server.records.mirror import Mirror


@contextmanager
def life(folder: Path, budget: int = 10_000) -> Iterator[KeptRecords]:
    """Of one process with these documents."""
    records = KeptRecords(budget)
    records.open(folder / "documents.sqlite3")
    yield records
    records.close()


async def test_documents_are_there_after_a_restart_in_the_order_of_their_coming(
    tmp_path: Path,
) -> None:
    with life(tmp_path) as records:
        for id in "cab":
            records.put("me", "note", id, {"id": id})
        records.put("me", "note", "c", {"id": "c", "new": "ü"})
        records.put("you", "note", "d", {})
        await records.delete("me", "note", "a")
    with life(tmp_path) as records:
        assert await records.list("me", "note") == [{"id": "c", "new": "ü"}, {"id": "b"}]
        assert await records.get("you", "note", "a") is None
        records.put("me", "note", "e", {"id": "e"})
    with life(tmp_path) as records:
        assert [one["id"] for one in await records.list("me", "note")] == ["c", "b", "e"]


async def test_what_was_evicted_stays_away_and_the_last_written_goes_last(tmp_path: Path) -> None:
    big = {"text": "x" * 1_950}
    with life(tmp_path) as records:
        for id in "abcdae":
            records.put("me", "note", id, big)
        assert await records.get("me", "note", "b") is None
    with life(tmp_path) as records:
        assert await records.get("me", "note", "b") is None
        assert len(records) == 4
    with life(tmp_path, 6_500) as records:  # "a" was written after "d"
        found = [await records.get("me", "note", id) is not None for id in "cdae"]
        assert found == [False, False, True, True]


async def test_nothing_is_left_on_disk_of_a_deleted_document(tmp_path: Path) -> None:
    with life(tmp_path) as records:
        records.put("me", "note", "a", {"text": "secret" * 100})
    assert any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())
    with life(tmp_path) as records:
        await records.delete("me", "note", "a")
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize("what", ["damaged", "another layout"])
async def test_what_cannot_be_read_is_set_aside_with_a_warning(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "documents.sqlite3"
    if what == "damaged":
        path.write_bytes(b"no documents" * 1000)
    else:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    before = path.read_bytes()
    with life(tmp_path) as records:
        records.put("me", "note", "a", {})
    with life(tmp_path) as records:
        assert await records.get("me", "note", "a") == {}
    assert path.with_suffix(".damaged").read_bytes() == before
    assert len(caplog.records) == 1


async def test_a_disk_that_fails_leaves_memory_and_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Mirror, "_write", full)
    with life(tmp_path) as records:
        for id in "ab":
            records.put("me", "note", id, {})
            assert await records.get("me", "note", id) == {}
    assert [record.message for record in caplog.records] == [
        "stored documents are kept in memory only for now: database or disk is full"
    ]


def test_a_folder_that_is_none_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        KeptRecords(10).open(tmp_path / "nowhere" / "documents.sqlite3")


ID = st.sampled_from("abc")
STEP = st.tuples(ID, st.none() | st.integers(0, 3)) | st.just("restart")


@given(st.lists(STEP, max_size=12))
def test_any_history_with_restarts_leaves_what_memory_alone_would_have(
    tmp_path_factory: pytest.TempPathFactory, steps: list
) -> None:
    path = tmp_path_factory.mktemp("records") / "documents.sqlite3"
    memory, kept = MemoryRecords(10**6), KeptRecords(10**6)
    kept.open(path)
    for step in [*steps, "restart"]:
        if step == "restart":
            kept.close()
            kept = KeptRecords(10**6)
            kept.open(path)
            continue
        id, value = step
        for records in (memory, kept):
            if value is None:
                records.forget(("me", "note", id))
            else:
                records.put("me", "note", id, {"id": id, "value": value})
    assert list(kept._texts) == list(memory._texts)
    assert [list(ids) for ids in kept._kinds.values()] == [
        list(ids) for ids in memory._kinds.values()
    ]
    kept.close()
