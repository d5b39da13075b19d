"""One caller's sessions, as two servers on one shared store see them."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.server.api.sessions.callers import Caller, callers, spoken
from tests.server.redis import free_port, redis_at


@pytest.fixture
def here_and_there(path: Path, tmp_path: Path) -> Iterator[tuple[Caller, Caller]]:
    """Ann at one server, and at another."""
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(redis_at(tmp_path, port))
        url = f"redis://127.0.0.1:{port}/0"
        here, there = (
            stack.enter_context(kept_at(path, tmp_path / name, url)) for name in ("here", "there")
        )
        yield here[0], there[0]


def kept_at(path: Path, folder: Path, store: str) -> AbstractContextManager[tuple[Caller, Caller]]:
    """A server with a disk of its own, and this store."""
    return callers(
        path,
        sessions__archive=True,
        sessions__data_dir=str(folder),
        sessions__store_url=store,
    )


def plain(session: dict[str, Any]) -> dict[str, Any]:
    """Without what differs by where it lies."""
    return {name: value for name, value in session.items() if name not in {"tier", "bytes"}}


@pytest.mark.usefixtures("all_written")
def test_both_list_and_show_what_either_keeps(here_and_there: tuple[Caller, Caller]) -> None:
    here, there = here_and_there
    said = here.talk("Hello", "One?")
    assert there.say(*said, "Two?")["cached"] > 0
    there.talk("Good day")
    assert [plain(one) for one in here.sessions()] == [plain(one) for one in there.sessions()]
    id = here.sessions()[1]["id"]
    trees = [one.get(f"/v1/sessions/{id}", params={"text": "true"}) for one in here_and_there]
    texts = [[m["content"] for one in tree["data"] for m in one["messages"]] for tree in trees]
    assert texts[0] == texts[1]
    assert texts[0][:4] == said
    assert [len(tree["data"]) for tree in trees] == [3, 3]


def test_either_goes_on_from_a_turn_of_the_other(here_and_there: tuple[Caller, Caller]) -> None:
    here, there = here_and_there
    here.talk("Hello", "One?")
    id = here.tree()["id"]
    forked = there.post(f"/v1/sessions/{id}/fork", json={"turn": 1})
    answer = there.say("Two?", conversation=forked["id"])
    assert answer["cached"] == forked["tokens"] > 0
    assert here.tree()["branches"] == 2


def test_what_one_rewinds_is_gone_at_the_other(here_and_there: tuple[Caller, Caller]) -> None:
    here, there = here_and_there
    said = here.talk("Hello", "One?")
    there.say(*said, "Two?")
    id = here.tree()["id"]
    here.post(f"/v1/sessions/{id}/rewind", json={"turn": 1})
    for caller in here_and_there:
        assert [one["turn"] for one in caller.tree()["data"]] == [1]


def test_what_one_deletes_is_gone_at_the_other(here_and_there: tuple[Caller, Caller]) -> None:
    here, there = here_and_there
    text = "Words for two servers alone"
    said = here.talk(text, "One?")
    there.say(*said, "Two?")
    here.delete(f"/v1/sessions/{here.tree()['id']}")
    assert there.sessions() == here.sessions() == []
    assert not spoken(text)
    assert there.say(*said, "Two?")["cached"] == 0


def test_a_pin_holds_at_both_until_either_takes_it_back(
    here_and_there: tuple[Caller, Caller],
) -> None:
    here, there = here_and_there
    here.talk("Hello")
    id = here.tree()["id"]
    there.post(f"/v1/sessions/{id}/pin", json={})
    assert [one.tree()["pinned"] for one in here_and_there] == [True, True]
    here.post(f"/v1/sessions/{id}/unpin", json={})
    assert [one.tree()["pinned"] for one in here_and_there] == [False, False]


def test_a_file_of_one_is_taken_by_the_other(here_and_there: tuple[Caller, Caller]) -> None:
    here, there = here_and_there
    said = here.talk("Hello", "One?")
    data = there.export()
    here.delete(f"/v1/sessions/{here.tree()['id']}")
    made = there.bring(data)
    assert made["snapshots"] == 2
    assert here.say(*said, "Two?")["cached"] == made["tokens"]


def test_nothing_is_said_to_be_deleted_while_the_store_is_away(path: Path, tmp_path: Path) -> None:
    away = f"redis://127.0.0.1:{free_port()}/0"
    with kept_at(path, tmp_path, away) as (ann, _):
        ann.talk("Hello", "One?")
        id = ann.tree()["id"]
        gone = ann.http.delete(f"/v1/sessions/{id}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (503, "archive_unavailable")
        assert gone.headers["retry-after"]
        cut = ann.post(f"/v1/sessions/{id}/rewind", 503, json={"turn": 1})
        assert cut["error"]["code"] == "archive_unavailable"
        ann.get("/v1/sessions/sess_00", 503)  # where nobody can look, it may be
        assert len(ann.tree()["data"]) == 2
        assert ann.app.keeping.documents.count == 0


def test_what_only_memory_has_goes_with_what_it_continues(
    here_and_there: tuple[Caller, Caller],
) -> None:
    here, there = here_and_there
    said = here.talk("Hello", "One?")
    there.say(*said, "Two?")
    assert there.say(*said, "Two?")["cached"] > 0
    here.delete(f"/v1/sessions/{here.tree()['id']}")
    assert there.sessions() == here.sessions() == []
    assert there.say(*said, "Two?")["cached"] == 0
