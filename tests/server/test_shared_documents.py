"""What callers have stored, at two servers on one shared store."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, NotFoundError, OpenAI
from redis import Redis

from tests.server.redis import free_port, redis_at
from tests.server.tiny import checkpoint, served
from tests.serving import process

ENDLESS: Any = {"max_output_tokens": 1_000_000, "extra_body": {"logit_bias": {"0": -100}}}
SHORT: Any = {"max_output_tokens": 4}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@contextmanager
def server(path: Path, folder: Path, port: int, key: str = "key") -> Iterator[OpenAI]:
    """One with a disk of its own, and this store."""
    with (
        served(
            path,
            sessions__archive=True,
            sessions__data_dir=str(folder),
            sessions__store_url=f"redis://127.0.0.1:{port}/0",
            server__api_keys=["key", "other"],
        ) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def both(path: Path, tmp_path: Path) -> Iterator[tuple[OpenAI, OpenAI]]:
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(redis_at(tmp_path, port))
        folders = (tmp_path / "here", tmp_path / "there")
        here, there = (stack.enter_context(server(path, one, port)) for one in folders)
        yield here, there


def ask(client: OpenAI, given: str = "Hello", **fields: Any) -> Any:
    arguments = {"model": "tiny", **(SHORT | fields)}
    return client.responses.create(input=given, **arguments)


def eventually(holds: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_response_is_found_gone_on_from_and_deleted_anywhere(
    both: tuple[OpenAI, OpenAI],
) -> None:
    here, there = both
    first = ask(here)
    assert there.responses.retrieve(first.id).output_text == first.output_text
    second = ask(there, "And now?", previous_response_id=first.id)
    assert second.usage.input_tokens_details.cached_tokens > 0
    assert len(here.responses.input_items.list(second.id).data) == 1
    ask(here, "And then?", previous_response_id=second.id)
    there.responses.delete(first.id)
    for client in both:
        with pytest.raises(NotFoundError):
            client.responses.retrieve(first.id)
        with pytest.raises(NotFoundError):
            ask(client, "More?", previous_response_id=second.id)


def test_a_stream_has_ended_when_every_server_has_the_answer(both: tuple[OpenAI, OpenAI]) -> None:
    here, there = both
    for _ in range(20):
        for event in ask(here, stream=True):
            if event.type in {"response.completed", "response.incomplete"}:
                found = there.responses.retrieve(event.response.id)
                assert found.output_text == event.response.output_text


def test_what_a_client_left_is_found_anywhere_as_far_as_it_was_sent(
    both: tuple[OpenAI, OpenAI],
) -> None:
    here, there = both
    with ask(here, stream=True, **ENDLESS) as stream:
        id = next(stream).response.id
    eventually(lambda: found(there, id))
    assert there.responses.retrieve(id).status == "cancelled"


def test_a_conversation_is_one_at_both(both: tuple[OpenAI, OpenAI]) -> None:
    here, there = both
    made = here.conversations.create(metadata={"k": "v"})
    for client, text in ((there, "One?"), (here, "Two?"), (there, "Three?")):
        ask(client, text, conversation=made.id)
        client.chat.completions.create(
            model="tiny",
            max_tokens=4,
            messages=[{"role": "user", "content": text}],
            extra_body={"conversation": made.id},
        )
    lists = [client.conversations.items.list(made.id, limit=100).data for client in both]
    assert len(lists[0]) == 12
    assert [item.id for item in lists[0]] == [item.id for item in lists[1]]
    there.conversations.update(made.id, metadata={"k": "w"})
    assert here.conversations.retrieve(made.id).metadata == {"k": "w"}
    here.conversations.items.delete(lists[0][0].id, conversation_id=made.id)
    assert len(there.conversations.items.list(made.id, limit=100).data) == 11
    here.conversations.delete(made.id)
    with pytest.raises(NotFoundError):
        ask(there, conversation=made.id)


def test_no_item_is_lost_that_both_add_at_once(both: tuple[OpenAI, OpenAI]) -> None:
    made = both[0].conversations.create()
    start = threading.Barrier(8)

    def add(number: int) -> None:
        start.wait()
        for turn in range(5):
            text = f"{number} {turn}"
            item: Any = {"type": "message", "role": "user", "content": text}
            both[number % 2].conversations.items.create(made.id, items=[item])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))
    for client in both:
        items = client.conversations.items.list(made.id, limit=100).data
        texts = {item.content[0].text for item in items}
        assert texts == {f"{number} {turn}" for number in range(8) for turn in range(5)}


def test_stored_completions_are_listed_and_renamed_at_both(both: tuple[OpenAI, OpenAI]) -> None:
    here, there = both
    made = [
        client.chat.completions.create(
            model="tiny",
            max_tokens=4,
            store=True,
            messages=[{"role": "user", "content": "Hello"}],
        ).id
        for client in (here, there, here)
    ]
    there.chat.completions.update(made[0], metadata={"k": "v"})
    for client in both:
        found = client.chat.completions.list().data
        assert [one.id for one in found] == made
        assert [one.metadata for one in found] == [{"k": "v"}, {}, {}]


def test_another_caller_finds_nothing(path: Path, tmp_path: Path) -> None:
    port = free_port()
    with (
        redis_at(tmp_path, port),
        server(path, tmp_path / "here", port) as here,
        server(path, tmp_path / "there", port, key="other") as stranger,
    ):
        made = ask(here)
        for do in (stranger.responses.retrieve, stranger.responses.delete):
            with pytest.raises(NotFoundError):
                do(made.id)
        assert here.responses.retrieve(made.id)


def test_a_response_in_the_background_is_followed_and_cancelled_elsewhere(
    both: tuple[OpenAI, OpenAI],
) -> None:
    here, there = both
    running = ask(here, background=True, **ENDLESS)
    eventually(lambda: there.responses.retrieve(running.id).status == "in_progress")
    with pytest.raises(APIStatusError) as refused:
        ask(there, "Go on", previous_response_id=running.id)
    assert refused.value.status_code == 400
    assert there.responses.cancel(running.id).status == "cancelled"
    assert here.responses.retrieve(running.id).status == "cancelled"
    again = ask(here, background=True, **ENDLESS)
    there.responses.delete(again.id)
    for client in both:
        with pytest.raises(NotFoundError):
            client.responses.retrieve(again.id)


def test_the_events_of_a_response_in_the_background_are_told_elsewhere_once_it_has_ended(
    both: tuple[OpenAI, OpenAI],
) -> None:
    here, there = both
    events = list(ask(here, background=True, stream=True, max_output_tokens=200))
    id = events[0].response.id
    again = list(there.responses.retrieve(id, stream=True, starting_after=1))
    assert [one.sequence_number for one in again] == list(range(2, len(events)))
    early = ask(here, background=True, stream=True, **ENDLESS)
    id = next(early).response.id
    with ThreadPoolExecutor(1) as thread:
        told = thread.submit(lambda: list(there.responses.retrieve(id, stream=True)))
        eventually(lambda: here.responses.retrieve(id).status == "in_progress")
        there.responses.cancel(id)
        assert told.result(timeout=30)[-1].response.status == "cancelled"
    plain = ask(here, background=True)
    with pytest.raises(APIStatusError, match="streamed again"):
        list(there.responses.retrieve(plain.id, stream=True))


def test_what_a_session_has_made_goes_and_shrinks_with_it_everywhere(
    both: tuple[OpenAI, OpenAI],
) -> None:
    here, there = both
    messages: Any = [{"role": "user", "content": "Hello"}]
    said = here.chat.completions.create(model="tiny", max_tokens=4, messages=messages)
    messages += [said.choices[0].message, {"role": "user", "content": "More?"}]
    here.chat.completions.create(model="tiny", max_tokens=4, messages=messages)
    session = here.get("/sessions", cast_to=dict)["data"][0]["id"]
    forked = there.post(f"/sessions/{session}/fork", cast_to=dict, body={})
    here.post(f"/sessions/{session}/rewind", cast_to=dict, body={"turn": 1})
    assert len(there.conversations.items.list(forked["id"]).data) == 2
    assert here.delete(f"/sessions/{session}", cast_to=dict)["conversations"] == 2
    with pytest.raises(NotFoundError):
        there.conversations.retrieve(forked["id"])


def test_without_the_store_a_server_goes_on_and_tells_it_later(path: Path, tmp_path: Path) -> None:
    port = free_port()
    with server(path, tmp_path / "here", port) as here:
        made = here.conversations.create()
        answer = ask(here, conversation=made.id)
        ask(here, "And now?", previous_response_id=answer.id)
        for do in (here.responses.delete, here.responses.retrieve):
            with pytest.raises(APIStatusError) as refused:
                do(answer.id if do == here.responses.delete else "resp_0")
            assert refused.value.status_code == 503
            assert refused.value.code == "archive_unavailable"
        with redis_at(tmp_path, port), server(path, tmp_path / "there", port) as there:
            eventually(lambda: found(there, answer.id))
            assert len(there.conversations.items.list(made.id).data) == 2


def found(client: OpenAI, id: str) -> bool:
    try:
        client.responses.retrieve(id)
    except APIStatusError:
        return False
    return True


def test_what_a_killed_server_has_answered_another_goes_on_from(path: Path, tmp_path: Path) -> None:
    port = free_port()
    model = ("--model", str(path), "--device", "cpu")
    shared = {"RWKV_SERVER_SESSIONS__STORE_URL": f"redis://127.0.0.1:{port}/0"}
    with (
        redis_at(tmp_path, port),
        process(*model, "--data-dir", str(tmp_path / "one"), env=shared) as (one, first),
        process(*model, "--data-dir", str(tmp_path / "two"), env=shared) as (two, _),
        OpenAI(base_url=f"{one}/v1", api_key="none", max_retries=0, timeout=60) as here,
        OpenAI(base_url=f"{two}/v1", api_key="none", max_retries=0, timeout=60) as there,
    ):
        answer = ask(here)
        running = ask(here, background=True, **ENDLESS)
        eventually(lambda: there.responses.retrieve(running.id).status == "in_progress")
        os.kill(first.pid, signal.SIGKILL)
        ask(there, "And now?", previous_response_id=answer.id)
        assert there.responses.retrieve(running.id).status == "in_progress"  # for all it knows
        with Redis(port=port) as redis:  # as if a minute had gone by
            redis.delete(*redis.scan_iter("rwkv-server:1:server:*"))
        lost = there.responses.retrieve(running.id)
        assert lost.status == "failed"
        assert "ended before" in lost.error.message
