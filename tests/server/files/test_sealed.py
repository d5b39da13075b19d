"""Files and logs under a key: what is on disk, and what is refused."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import NotFound, Unreadable
from server.files import FileStore, sealed
from server.session import Cipher
from tests.server.uploads import add

KEY, OTHER = "ab" * 32, "cd" * 32
LINES = [b"one\n", b"two\n", b"six\n"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "BLOCK", 64)


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path, seal=Cipher(KEY))


def content(store: FileStore, id: str) -> bytes:
    with store.open("ann", id) as source:
        return source.read()


def pieces(data: bytes) -> list[bytes]:
    found = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        found.append(data[:end])
        data = data[end:]
    return found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=6))
def test_what_is_written_in_any_parts_is_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("files")
    store = FileStore(path, seal=Cipher(KEY))
    incoming = store.receive("ann")
    for part in parts:
        incoming.write(part)
    stored = incoming.keep(filename="in", purpose="batch")
    data = b"".join(parts)
    assert (content(store, stored.id), stored.nbytes) == (data, len(data))
    with store.open("ann", stored.id) as source:
        assert list(source) == io.BytesIO(data).readlines()


def test_nothing_of_a_file_or_its_name_is_in_clear(store: FileStore, tmp_path: Path) -> None:
    add(store, b"heliotrope" * 50, filename="heliotrope.jsonl")
    incoming = store.receive("ann")
    incoming.write(b"heliotrope" * 50)
    on_disk = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(on_disk) == 3
    assert not any(b"heliotrope" in data for data in on_disk)
    incoming.discard()


CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "cut after a piece": lambda p: p[:-1],
    "cut within a piece": lambda p: [*p[:-1], p[-1][:-1]],
    "cut to nothing": lambda p: [],
    "swapped": lambda p: [p[1], p[0], *p[2:]],
    "left out": lambda p: [p[0], *p[2:]],
    "twice": lambda p: [p[0], *p],
    "longer": lambda p: [*p, b"\0"],
    "a bit": lambda p: [p[0][:-1] + bytes([p[0][-1] ^ 1]), *p[1:]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_tampered_with_is_refused(store: FileStore, change: str) -> None:
    stored = add(store, bytes(200))
    path = store.path("ann", stored.id)
    before = pieces(path.read_bytes())
    assert len(before) == 4
    path.write_bytes(b"".join(CHANGES[change](before)))
    with pytest.raises(Unreadable):
        content(store, stored.id)


def test_a_file_does_not_pass_for_another(store: FileStore) -> None:
    first, second = add(store, b"first"), add(store, b"other")
    paths = [store.path("ann", file.id) for file in (first, second)]
    paths[0].write_bytes(paths[1].read_bytes())
    with pytest.raises(Unreadable):
        content(store, first.id)
    notes = [path.with_suffix(".json") for path in paths]
    notes[0].write_bytes(notes[1].read_bytes())
    with pytest.raises(NotFound):
        store.get("ann", first.id)
    assert store.list("ann") == [second]


@pytest.mark.parametrize("left", [1, 4, 40])
def test_the_end_of_a_log_that_a_crash_left_is_cut_off(
    store: FileStore, tmp_path: Path, left: int
) -> None:
    log = tmp_path / "log"
    for line in LINES[:2]:
        store.folder.append(log, line)
    whole = log.read_bytes()
    store.folder.append(log, LINES[2])
    log.write_bytes(log.read_bytes()[: len(whole) + left])
    assert list(store.folder.appended(log)) == LINES[:2]
    assert log.read_bytes() == whole
    store.folder.append(log, LINES[2])
    assert list(store.folder.appended(log)) == LINES


@pytest.mark.parametrize("change", ["swapped", "left out", "twice", "a bit"])
def test_a_log_that_was_tampered_with_is_refused_and_left(
    store: FileStore, tmp_path: Path, change: str
) -> None:
    log = tmp_path / "log"
    for line in LINES:
        store.folder.append(log, line)
    changed = b"".join(CHANGES[change](pieces(log.read_bytes())))
    log.write_bytes(changed)
    with pytest.raises(Unreadable):
        list(store.folder.appended(log))
    assert log.read_bytes() == changed


@pytest.mark.parametrize(
    ("wrote", "reads", "told"),
    [
        (KEY, OTHER, "the encryption key does not fit"),
        (KEY, None, "no key is set"),
        (None, KEY, "they are not encrypted"),
    ],
)
def test_what_another_key_wrote_is_left_and_not_offered(
    tmp_path: Path, wrote: str | None, reads: str | None, told: str
) -> None:
    stored = add(FileStore(tmp_path, seal=wrote and Cipher(wrote)))
    (own,) = tmp_path.iterdir()
    (own / "file-1.data.part").write_bytes(b"x")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    store = FileStore(seal=reads and Cipher(reads))
    with pytest.raises(OSError, match=told):
        store.lie_in(tmp_path)
    assert not store.lasts
    assert store.list("ann") == []
    add(store)
    store.close()
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before
    again = FileStore(seal=wrote and Cipher(wrote))
    again.lie_in(tmp_path)
    assert again.list("ann") == [stored]


def test_a_damaged_record_is_told_and_the_rest_is_offered(
    store: FileStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = add(store), add(store)
    note = store.path("ann", bad.id).with_suffix(".json")
    note.write_bytes(note.read_bytes()[:-1])
    again = FileStore(seal=Cipher(KEY))
    again.lie_in(tmp_path)
    assert again.list("ann") == [good]
    (warned,) = caplog.messages
    assert warned.endswith("left as they are: 1")
    assert note.exists()
    assert len(list(tmp_path.rglob("*.data"))) == 2
