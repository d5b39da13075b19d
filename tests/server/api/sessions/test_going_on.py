"""Conversations that are made of sessions, and sessions that are cut back or deleted."""

from pathlib import Path
from typing import Any

import pytest

from tests.server.api.sessions.callers import Caller, callers, spoken


def test_a_fork_goes_on_from_its_state_with_the_new_words_only(ann: Caller) -> None:
    said = ann.talk("Hello", "One?", "Two?")
    forked = ann.post(f"/v1/sessions/{ann.tree()['id']}/fork", json={"turn": 2})
    assert forked["id"].startswith("conv_")
    answer = ann.say("More?", conversation=forked["id"])
    assert answer["cached"] == forked["tokens"] > 0
    again = ann.say(*said[:4], "More?")
    assert (again["text"], again["read"]) == (answer["text"], 0)
    assert ann.tree()["branches"] == 2


@pytest.mark.parametrize("body", [{}, {"turn": None}])
def test_a_fork_without_a_turn_goes_on_from_the_end(ann: Caller, body: Any) -> None:
    ann.talk("Hello", "One?")
    tree = ann.tree()
    forked = ann.post(f"/v1/sessions/{tree['id']}/fork", json=body)
    assert forked["turn"] == tree["newest"] == tree["data"][-1]["id"]


def test_a_rewind_forgets_what_came_after(ann: Caller) -> None:
    said = ann.talk("Hello", "One?", "Two?")
    made = ann.post(f"/v1/sessions/{ann.tree()['id']}/fork", json={})["id"]
    ann.say("More?", conversation=made)
    rewound = ann.post(f"/v1/sessions/{ann.tree()['id']}/rewind", json={"turn": 1})
    assert rewound["deleted"] == 6
    assert [one["turn"] for one in ann.tree()["data"]] == [1]
    items = ann.get(f"/v1/conversations/{made}/items")["data"]
    assert [item["content"][0]["text"] for item in reversed(items)] == said[:2]
    assert ann.say("More?", conversation=made)["cached"] == rewound["tokens"]


@pytest.mark.usefixtures("all_written")
def test_a_deleted_session_leaves_nothing(path: Path, tmp_path: Path) -> None:
    kept = {"sessions__archive": True, "sessions__data_dir": str(tmp_path)}
    with callers(path, **kept) as (ann, bob):
        system = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
        body = {"model": "tiny", "max_tokens": 4, "messages": system}
        ann.post("/v1/chat/completions", json=body)
        bob.talk("Hello")
        (session,) = ann.sessions()
        made = ann.post(f"/v1/sessions/{session['id']}/fork", json={})["id"]
        files = list(tmp_path.glob("states/*/*.state"))
        gone = ann.delete(f"/v1/sessions/{session['id']}")
        assert (gone["snapshots"], gone["conversations"]) == (3, 1)
        assert ann.sessions() == []
        ann.get(f"/v1/conversations/{made}", 404)
        ann.get(f"/v1/sessions/{session['id']}", 404)
        assert len(files) == 5
        assert len(list(tmp_path.glob("states/*/*.state"))) == 2
        assert len(ann.app.context.manager._store) == 2
        (bobs,) = bob.sessions()
        bob.delete(f"/v1/sessions/{bobs['id']}")
        assert ann.app.context.manager._store.nbytes == 0
        (home, _), *_ = ann.app.keeping.archive.places
        assert (home.contents().snapshots, home.contents().nbytes) == (0, 0)


def test_a_system_prompt_that_another_session_has_too_stays(ann: Caller) -> None:
    for text in ("Hello", "Good day"):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
        ann.post(
            "/v1/chat/completions", json={"model": "tiny", "max_tokens": 4, "messages": messages}
        )
    one, other = ann.sessions()
    assert ann.delete(f"/v1/sessions/{one['id']}")["snapshots"] == 2
    assert ann.delete(f"/v1/sessions/{other['id']}")["snapshots"] == 3
    assert len(ann.app.context.manager._store) == 0


def test_of_a_deleted_session_no_message_is_left_in_memory(ann: Caller) -> None:
    text = "Words that nobody else says" * 400  # few that are short are not kept
    ann.talk(text, "One?")
    assert spoken(text)
    ann.delete(f"/v1/sessions/{ann.tree()['id']}")
    assert not spoken(text)
