"""What outlives a server: its data folder, from the start of one to the end of the next."""

import json
import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError, InternalServerError, OpenAI

from server.app import App, build
from server.files.folder import Whole
from server.session import FolderLock
from tests.server.api.files.asking import ended, entries, hello, request, run
from tests.server.api.test_sdk import eventually
from tests.server.tiny import checkpoint, served, settings


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@contextmanager
def client(path: Path, data: Path, **overrides: Any) -> Iterator[tuple[OpenAI, App]]:
    """One life of a server on this folder."""
    kept = {"sessions__archive": True, "sessions__data_dir": str(data)}
    with (
        served(path, **kept, **overrides) as (url, app),
        OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0) as client,
    ):
        yield client, app


def say(client: OpenAI, *texts: str) -> tuple[str, int]:
    """The answer to a conversation, and the tokens of it that were cached."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    said: Any = client.chat.completions.create(
        model="tiny", messages=messages, temperature=0, max_tokens=8
    )
    return said.choices[0].message.content, said.usage.prompt_tokens_details.cached_tokens


async def test_an_application_that_never_runs_touches_and_leaves_nothing(
    path: Path, own_data: Path
) -> None:
    threads = set(threading.enumerate())
    app = build(settings(path, sessions__archive=True))
    assert set(threading.enumerate()) == threads
    assert list(own_data.iterdir()) == []
    async with app.running():
        assert (own_data / "rwkv-server" / "states").is_dir()
    FolderLock(own_data / "rwkv-server").release()
    assert not [t for t in threading.enumerate() if t.name == "archive"]


async def test_without_an_archive_the_disk_is_left_alone(path: Path, own_data: Path) -> None:
    app = build(settings(path))
    async with app.running():
        assert not app.context.files.lasts
    assert list(own_data.iterdir()) == []


def test_a_conversation_goes_on_after_a_restart(path: Path, tmp_path: Path) -> None:
    with client(path, tmp_path) as (first, _):
        answer, _ = say(first, "Hello")
        expected = say(first, "Hello", answer, "And now?")
    with client(path, tmp_path) as (second, _):
        assert say(second, "Hello", answer, "And now?")[0] == expected[0]
        assert say(second, "Hello", answer, "Else?")[1] == expected[1] > 0


def test_a_batch_goes_on_after_a_restart(path: Path, tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(60)]
    with client(path, tmp_path, engine__max_slots=1) as (first, _):
        batch = run(first, *(request(name, hello(max_tokens=60, seed=1)) for name in names))
        assert eventually(lambda: first.batches.retrieve(batch.id).request_counts.completed > 2)
        assert first.batches.retrieve(batch.id).status == "in_progress"
    with client(path, tmp_path) as (second, _):
        batch = ended(second, batch)
        assert (batch.status, batch.request_counts.completed) == ("completed", len(names))
        assert set(entries(second, batch.output_file_id)) == set(names)


def test_a_response_is_gone_on_from_after_a_restart(path: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": "tiny", "temperature": 0, "max_output_tokens": 16}
    with client(path, tmp_path) as (first, _):
        before = first.responses.create(input="Hello", **asked)
        expected = first.responses.create(input="On", previous_response_id=before.id, **asked)
    with client(path, tmp_path) as (second, _):
        assert second.responses.retrieve(before.id).output == before.output
        again = second.responses.create(input="On", previous_response_id=before.id, **asked)
        assert again.output_text == expected.output_text
        assert again.usage.input_tokens == expected.usage.input_tokens
        assert again.usage.input_tokens_details.cached_tokens > before.usage.input_tokens


def test_a_second_server_on_the_folder_does_without(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with client(path, tmp_path) as (first, one):
        with client(path, tmp_path) as (second, other):
            assert say(first, "Hello") == say(second, "Hello")
            assert (one.context.files.lasts, other.context.files.lasts) == (True, False)
        assert say(first, "Hello", "Hi", "Well?")[0]
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "nothing will be kept on disk: the data folder is in use by another server" in warned


SECRET = "the colour of my door is heliotrope"


KEY = {"sessions__encryption_key": "ab" * 32}


def test_with_a_key_documents_are_kept(path: Path, tmp_path: Path) -> None:
    with client(path, tmp_path, **KEY) as (first, _):
        stored = first.responses.create(model="tiny", input=SECRET, max_output_tokens=8)
    with client(path, tmp_path, **KEY) as (second, _):
        assert second.responses.retrieve(stored.id).output == stored.output


def in_clear(*folders: Path) -> list[Path]:
    """Files that have a word of SECRET, also those that are open and have no name."""
    named = [path for folder in folders for path in folder.rglob("*")]
    opened = Path("/proc/self/fd").glob("*")  # where there is such a folder
    found = []
    for path in [*named, *opened]:
        with suppress(FileNotFoundError):  # as it has gone meanwhile
            if path in named or path.readlink().name.endswith(" (deleted)"):
                found += [path] if path.is_file() and b"heliotrope" in path.read_bytes() else []
    return found


def test_with_a_key_no_text_of_a_caller_is_on_disk_and_a_batch_goes_on(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, temporary = tmp_path / "data", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    messages = [{"role": "user", "content": SECRET}]
    asked = [request(f"heliotrope {n}", hello(messages=messages, max_tokens=60)) for n in range(30)]
    lines = b"\n".join(json.dumps(one).encode() for one in asked) + b"\n" * 1_500_000
    seen, write = [], Whole.write

    def watched(whole: Whole, data: bytes) -> None:
        write(whole, data)
        seen.append(in_clear(tmp_path))

    with client(path, data, **KEY, engine__max_slots=1) as (first, _):
        first.responses.create(model="tiny", input=SECRET, max_output_tokens=8)
        with monkeypatch.context() as patch:
            patch.setattr(Whole, "write", watched)
            file = first.files.create(file=("heliotrope.jsonl", lines), purpose="batch")
        batch = first.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"for": SECRET},
        )
        assert eventually(lambda: first.batches.retrieve(batch.id).request_counts.completed > 2)
        assert in_clear(tmp_path) == []
        assert first.batches.retrieve(batch.id).status == "in_progress"
    assert len(seen) > 3
    assert not any(seen)
    assert in_clear(tmp_path) == []
    assert list(data.rglob("batches/*/*.output.jsonl"))
    with client(path, data, **KEY) as (second, _):
        assert second.files.content(file.id).content == lines
        assert second.files.retrieve(file.id).filename == "heliotrope.jsonl"
        batch = ended(second, batch)
        assert (batch.status, batch.request_counts.completed) == ("completed", 30)
        assert len(entries(second, batch.output_file_id)) == 30
        assert in_clear(tmp_path) == []


def test_without_an_archive_a_key_seals_what_is_temporary(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with (
        served(path, **KEY) as (url, app),
        OpenAI(base_url=f"{url}/v1", api_key="key") as caller,
    ):
        file = caller.files.create(file=("in.jsonl", SECRET.encode()), purpose="batch")
        assert not app.context.files.lasts
        assert list(tmp_path.rglob("*.data"))
        assert in_clear(tmp_path) == []
        assert caller.files.content(file.id).text == SECRET


def test_a_file_that_was_tampered_with_is_not_served(path: Path, tmp_path: Path) -> None:
    with client(path, tmp_path, **KEY) as (caller, _):
        file = caller.files.create(file=("in.jsonl", bytes(3 << 20)), purpose="batch")
        (data,) = tmp_path.rglob("*.data")
        whole = data.read_bytes()
        data.write_bytes(whole[:-1])
        with pytest.raises(APIConnectionError):  # cut where it is known
            caller.files.content(file.id)
        data.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        with pytest.raises(InternalServerError) as refused:
            caller.files.content(file.id)
        assert refused.value.code == "unreadable"


def kept(folder: Path) -> dict[Path, bytes]:
    """Documents, files and batches."""
    files = [path for path in (folder / "files").rglob("*") if path.is_file()]
    return {path: path.read_bytes() for path in [folder / "documents.sqlite3", *files]}


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ({"sessions__encryption_key": "cd" * 32}, "the encryption key does not fit them"),
        ({}, "they are encrypted, and no key is set"),
    ],
)
def test_another_key_is_told_and_changes_nothing(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, key: dict[str, str], told: str
) -> None:
    with client(path, tmp_path, sessions__encryption_key="ab" * 32) as (first, _):
        stored = first.responses.create(model="tiny", input=SECRET, max_output_tokens=8)
        batch = ended(first, run(first, request("a", hello())))
    before = kept(tmp_path)
    with client(path, tmp_path, **key) as (other, _):
        other.responses.create(model="tiny", input="Hello", max_output_tokens=8)
        assert list(other.files.list()) == list(other.batches.list()) == []
        assert other.files.create(file=("in.jsonl", b"x"), purpose="batch").bytes == 1
    for what in ("stored documents", "files and batches"):
        (warned,) = (r for r in caplog.records if what in r.message)
        assert told in warned.message
        assert warned.exc_info is None
    assert kept(tmp_path) == before
    with client(path, tmp_path, sessions__encryption_key="ab" * 32) as (again, _):
        assert again.responses.retrieve(stored.id).output == stored.output
        assert again.batches.retrieve(batch.id) == batch
        assert again.files.content(batch.output_file_id).text
