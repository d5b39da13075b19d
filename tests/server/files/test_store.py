"""Files on disk: whole or not at all, each for its owner, within a budget."""

import tempfile
import time
from pathlib import Path

import pytest

from server.errors import InvalidRequest, NotFound
from server.files import FileStore, clean_name
from server.session import Cipher
from tests.server.uploads import add


@pytest.fixture(params=["clear", "sealed"])
def seal(request: pytest.FixtureRequest) -> Cipher | None:
    return Cipher("ab" * 32) if request.param == "sealed" else None


def content(store: FileStore, id: str, owner: str = "ann") -> bytes:
    with store.open(owner, id) as source:
        return source.read()


def test_a_file_is_there_after_a_restart(tmp_path: Path, seal: Cipher | None) -> None:
    stored = add(FileStore(tmp_path, seal=seal))
    again = FileStore(seal=seal)
    again.lie_in(tmp_path)
    assert again.get("ann", stored.id) == stored
    assert (content(again, stored.id), stored.nbytes) == (b"data", 4)
    assert again.list("ann") == [stored]


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    stored = add(store)
    for ask in (store.get, store.path, store.delete):
        with pytest.raises(NotFound):
            ask("bob", stored.id)
    assert store.list("bob") == []
    assert store.get("ann", stored.id)


@pytest.mark.parametrize("id", ["", "file-1", "../ann/file-1", "file-" + "0" * 32])
def test_an_id_that_is_none_is_not_found(tmp_path: Path, id: str) -> None:
    with pytest.raises(NotFound):
        FileStore(tmp_path).path("ann", id)


def test_the_newest_file_comes_first(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    files = [add(store) for _ in range(3)]
    assert store.list("ann") == files[::-1]


def test_a_file_that_was_deleted_leaves_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    store.delete("ann", add(store).id)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_expired_file_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileStore(tmp_path)
    stored = add(store, lasts_s=10)
    assert store.list("ann") == [stored]
    later = time.time() + 11
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(NotFound):
        store.get("ann", stored.id)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_there_is_room_for_so_much_and_no_more(tmp_path: Path) -> None:
    store = FileStore(tmp_path, max_bytes=10)
    first = add(store, b"x" * 6)
    with pytest.raises(InvalidRequest) as full:
        add(store, b"x" * 6, "bob")
    assert full.value.code == "storage_full"
    assert len(list(tmp_path.rglob("*.data"))) == 1
    store.delete("ann", first.id)
    add(store, b"x" * 6, "bob")


def test_a_log_becomes_a_file_whatever_room_there_is(tmp_path: Path, seal: Cipher | None) -> None:
    store, log = FileStore(tmp_path, max_bytes=3, seal=seal), tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        store.folder.append(log, line)
    adopted = store.adopt("ann", log, filename="out", purpose="batch_output")
    assert list(store.folder.appended(log)) == [b"one\n", b"two\n"]
    log.unlink()
    assert (content(store, adopted.id), adopted.nbytes) == (b"one\ntwo\n", 8)


def test_an_upload_that_breaks_off_leaves_no_file(tmp_path: Path, seal: Cipher | None) -> None:
    store = FileStore(tmp_path, seal=seal)
    incoming = store.receive("ann")
    incoming.write(b"x" * 3_000_000)
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
    incoming.discard()
    assert store.list("ann") == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_killed_process_has_left_is_deleted(tmp_path: Path) -> None:
    stored = add(FileStore(tmp_path))
    (own,) = tmp_path.iterdir()
    (tmp_path / "batches").mkdir()
    for left in (own / "file-1.data.part", own / "file-2.data", tmp_path / "batches" / "b.part"):
        left.write_bytes(b"x")
    store = FileStore()
    store.lie_in(tmp_path)
    assert store.list("ann") == [stored]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_expired_files_go_though_nobody_asks_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    add(store, lasts_s=10)
    kept = add(store)
    later = time.time() + 11
    monkeypatch.setattr(time, "time", lambda: later)
    store.prune()
    assert {path.stem for path in tmp_path.rglob("file-*")} == {kept.id}


def test_where_nothing_was_kept_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    FileStore().prune()
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_everything_goes_at_the_end(seal: Cipher | None) -> None:
    store = FileStore(seal=seal)
    path = store.path("ann", add(store).id)
    assert (b"data" in path.read_bytes()) == (seal is None)
    assert path.is_file()
    assert not store.lasts
    store.close()
    assert not path.exists()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("in.jsonl", "in.jsonl"),
        ("../../etc/passwd", "passwd"),
        (r"C:\data\in.jsonl", "in.jsonl"),
        ("a\nb\0c\u202e.jsonl", "abc.jsonl"),
        ("..", "file"),
        ("", "file"),
        ("x" * 300, "x" * 255),
    ],
)
def test_names_are_the_last_part_without_what_no_name_should_have(given: str, name: str) -> None:
    assert clean_name(given) == name
