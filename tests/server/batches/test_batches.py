"""Batches over a call that a test scripts: progress, ends, and what a restart leaves."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from server.batches import Answer, Batch, Batches
from server.errors import InvalidRequest, NoRoom, NotFound
from server.files import FileStore
from server.session import Cipher
from tests.server.uploads import add

ENDPOINT = "/v1/completions"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}


class Server:
    """Answers with the prompt, or as `answers` says, or never if it is `held`."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.held: set[str] = set()
        self.together = self.most_together = 0

    async def __call__(self, path: str, body: bytes, caller: str) -> Answer:
        prompt = json.loads(body)["prompt"]
        self.asked.append(prompt)
        self.together += 1
        self.most_together = max(self.together, self.most_together)
        try:
            await asyncio.sleep(0)
            if prompt in self.held:
                await asyncio.Event().wait()
        finally:
            self.together -= 1
        told = self.answers.get(prompt, [])
        return told.pop(0) if told else Answer(200, "req", {"text": prompt, "usage": USAGE})


class Setup:
    def __init__(self, folder: Path, seal: Cipher | None = None, **options: Any) -> None:
        self.server = Server()
        self.files = FileStore(folder, seal=seal)
        self.batches = Batches(self.files, together=2, **options)
        self.batches.call = self.server

    def create(self, count: int = 4, owner: str = "ann", **fields: Any) -> Batch:
        data = b"\n".join(line(f"p{number}") for number in range(count))
        file = add(self.files, data, owner)
        return self.batches.create(owner, ENDPOINT, file.id, **fields)

    def output(self, batch: Batch) -> dict[str, Any]:
        return self._entries(batch, batch.output_file_id)

    def faults(self, batch: Batch) -> dict[str, Any]:
        return self._entries(batch, batch.error_file_id)

    def _entries(self, batch: Batch, id: str | None) -> dict[str, Any]:
        if id is None:
            return {}
        with self.files.open(batch.owner, id) as source:
            return {entry["custom_id"]: entry for entry in map(json.loads, source)}


def line(name: str) -> bytes:
    body = {"model": "m", "prompt": name}
    value = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(value).encode()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


async def test_every_request_is_answered_once(setup: Setup) -> None:
    batch = setup.create()
    await until(lambda: batch.ended)
    assert batch.status == "completed"
    assert (batch.total, batch.completed, batch.failed) == (4, 4, 0)
    assert sorted(setup.server.asked) == ["p0", "p1", "p2", "p3"]
    assert {name: e["response"]["body"]["text"] for name, e in setup.output(batch).items()} == {
        name: name for name in setup.server.asked
    }
    assert batch.error_file_id is None
    assert (batch.usage.input_tokens, batch.usage.output_tokens) == (12, 8)
    assert batch.usage.cached_tokens == 4


async def test_so_many_requests_are_under_way_and_no_more(setup: Setup) -> None:
    batches = [setup.create(9) for _ in range(3)]
    await until(lambda: all(batch.ended for batch in batches))
    assert setup.server.most_together == 2


async def test_a_request_that_fails_is_in_the_error_file(setup: Setup) -> None:
    refused = {"error": {"message": "no", "code": "invalid_value"}}
    setup.server.answers["p1"] = [Answer(400, "req", refused)]
    batch = setup.create()
    await until(lambda: batch.ended)
    assert (batch.status, batch.completed, batch.failed) == ("completed", 3, 1)
    (entry,) = setup.faults(batch).values()
    assert (entry["custom_id"], entry["error"]) == ("p1", None)
    assert entry["response"] == {"status_code": 400, "request_id": "req", "body": refused}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_server_is_asked_again(
    setup: Setup, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.batches.run._PAUSE_S", 0.001)
    setup.server.answers["p1"] = [Answer(status, "req", {}, 0.001)] * 3
    batch = setup.create()
    await until(lambda: batch.ended)
    assert setup.server.asked.count("p1") == 4
    assert batch.completed == 4


async def test_a_file_with_a_mistake_is_not_begun(setup: Setup) -> None:
    file = add(setup.files, line("a") + b"\n{")
    batch = setup.batches.create("ann", ENDPOINT, file.id)
    await until(lambda: batch.ended)
    assert batch.status == "failed"
    assert [fault["line"] for fault in batch.errors] == [2]
    assert setup.server.asked == []


async def test_a_cancelled_batch_has_the_answers_it_has(setup: Setup) -> None:
    setup.server.held = {"p3", "p4", "p5"}
    batch = setup.create(6)
    await until(lambda: batch.completed == 3 and setup.server.together == 2)
    done = batch.completed
    assert setup.batches.cancel("ann", batch.id).status == "cancelling"
    await until(lambda: batch.ended)
    assert (batch.status, batch.completed, batch.failed) == ("cancelled", done, 6 - done)
    assert setup.server.together == 0
    assert len(setup.output(batch)) == done
    codes = {entry["error"]["code"] for entry in setup.faults(batch).values()}
    assert codes == {"batch_cancelled"}
    with pytest.raises(InvalidRequest):
        setup.batches.cancel("ann", batch.id)


async def test_a_batch_that_is_cancelled_before_its_file_was_looked_at_has_nothing(
    setup: Setup,
) -> None:
    file = add(setup.files, b"{")
    batch = setup.batches.create("ann", ENDPOINT, file.id)
    setup.batches.cancel("ann", batch.id)
    await until(lambda: batch.ended)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)


async def test_a_batch_that_takes_too_long_expires(tmp_path: Path) -> None:
    setup = Setup(tmp_path, window_s=0.2)
    setup.server.held = {"p0", "p1", "p2"}
    batch = setup.create(3)
    await until(lambda: batch.ended)
    assert (batch.status, batch.failed) == ("expired", 3)
    codes = {entry["error"]["code"] for entry in setup.faults(batch).values()}
    assert codes == {"batch_expired"}


async def test_a_batch_is_its_owners_alone(setup: Setup) -> None:
    batch = setup.create()
    for ask in (setup.batches.get, setup.batches.cancel):
        with pytest.raises(NotFound):
            ask("bob", batch.id)
    assert setup.batches.list("bob") == []
    with pytest.raises(InvalidRequest) as refused:
        setup.batches.create("bob", ENDPOINT, batch.input_file_id)
    assert refused.value.code == "file_not_found"
    await until(lambda: batch.ended)


@pytest.mark.parametrize("seal", [None, Cipher("ab" * 32)], ids=["clear", "sealed"])
async def test_a_restart_goes_on_and_asks_nothing_twice(
    seal: Cipher | None, tmp_path: Path
) -> None:
    setup = Setup(tmp_path, seal)
    setup.server.held = {"p3", "p4"}
    batch = setup.create(8)
    await until(lambda: batch.completed == 3)
    await setup.batches.stop()
    done = batch.completed
    assert not batch.ended
    output = next(tmp_path.rglob("*.output.jsonl"))
    output.write_bytes(output.read_bytes() + b'{"half a li')  # as a crash leaves it

    again = Setup(tmp_path, seal)
    again.batches.start()
    found = again.batches.get("ann", batch.id)
    await until(lambda: found.ended)
    assert found.status == "completed"
    assert (found.completed, found.failed) == (8, 0)
    assert len(again.server.asked) == 8 - done
    assert len(again.output(found)) == 8
    assert found.usage.input_tokens == 24


async def test_a_batch_that_was_being_cancelled_is_cancelled_after_a_restart(
    setup: Setup, tmp_path: Path
) -> None:
    setup.server.held = {"p0", "p1", "p2"}
    batch = setup.create(3)
    await until(lambda: setup.server.together == 2)
    setup.batches.cancel("ann", batch.id)
    await setup.batches.stop()
    again = Setup(tmp_path)
    again.batches.start()
    found = again.batches.get("ann", batch.id)
    await until(lambda: found.ended)
    assert (found.status, again.server.asked) == ("cancelled", [])


async def test_a_batch_whose_file_is_deleted_fails_with_what_it_has(
    setup: Setup, tmp_path: Path
) -> None:
    setup.server.held = {"p2", "p3"}
    batch = setup.create(6)
    await until(lambda: batch.completed == 2)
    await setup.batches.stop()
    setup.files.delete("ann", batch.input_file_id)
    again = Setup(tmp_path)
    again.batches.start()
    found = again.batches.get("ann", batch.id)
    await until(lambda: found.ended)
    assert found.status == "failed"
    assert [fault["code"] for fault in found.errors] == ["file_not_found"]
    assert len(again.output(found)) == found.completed == 2


async def test_an_ended_batch_goes_after_its_time_with_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = Setup(tmp_path, days=3)
    batch = setup.create()
    await until(lambda: batch.ended)
    await setup.batches.tidy()
    assert setup.output(batch)
    later = time.time() + 3.1 * 86400
    monkeypatch.setattr(time, "time", lambda: later)
    fresh = setup.create()
    await until(lambda: fresh.ended)
    await setup.batches.tidy()
    assert setup.batches.list("ann") == [fresh]
    inputs = {batch.input_file_id, fresh.input_file_id}  # which are the caller's own to delete
    kept = {file.id for file in setup.files.list("ann")}
    assert kept == {fresh.output_file_id} | inputs
    again = Setup(tmp_path)
    again.batches.start()
    assert [one.id for one in again.batches.list("ann")] == [fresh.id]
    await again.batches.stop()


async def test_results_that_were_not_made_files_when_the_server_stopped_are_after_a_restart(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise NoRoom

    with monkeypatch.context() as patch:
        patch.setattr(FileStore, "adopt", full)
        batch = setup.create()
        await until(lambda: batch.ended)
    assert (batch.status, batch.completed, batch.output_file_id) == ("failed", 4, None)
    assert [fault["code"] for fault in batch.errors] == ["insufficient_storage"]
    again = Setup(tmp_path)
    again.batches.start()
    found = again.batches.get("ann", batch.id)
    await until(lambda: not list(tmp_path.rglob("*.jsonl")))
    assert len(again.output(found)) == 4
    await again.batches.stop()


async def test_results_that_were_tampered_with_fail_the_batch_and_are_left(
    tmp_path: Path,
) -> None:
    seal = Cipher("ab" * 32)
    setup = Setup(tmp_path, seal)
    setup.server.held = {"p3", "p4"}
    batch = setup.create(8)
    await until(lambda: batch.completed == 3)
    await setup.batches.stop()
    output = next(tmp_path.rglob("*.output.jsonl"))
    output.write_bytes(changed := output.read_bytes() * 2)
    again = Setup(tmp_path, seal)
    again.batches.start()
    found = again.batches.get("ann", batch.id)
    await until(lambda: found.ended)
    assert (found.status, found.output_file_id) == ("failed", None)
    assert [fault["code"] for fault in found.errors] == ["unreadable"]
    await again.batches.tidy()
    await again.batches.stop()
    assert output.read_bytes() == changed
    assert again.server.asked == []
