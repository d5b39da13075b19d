"""Sessions as they are listed and shown, each to its caller alone."""

from typing import Any

import pytest

from tests.server.api.sessions.callers import Caller


def test_a_conversation_is_listed_as_one_session(ann: Caller) -> None:
    ann.talk("Hello", "And you?", "Well?")
    (session,) = ann.sessions()
    assert session["id"].startswith("sess_")
    assert (session["model"], session["turns"], session["branches"]) == ("tiny", 3, 1)
    assert (session["tier"], session["pinned"], session["snapshots"]) == ("memory", False, 6)
    assert session["bytes"] > session["tokens"] > 0


def test_conversations_that_begin_alike_are_branches_and_others_are_not(ann: Caller) -> None:
    said = ann.talk("Hello", "One?")
    ann.say(*said[:2], "Two?")
    ann.talk("Good day")
    assert sorted(one["branches"] for one in ann.sessions()) == [1, 2]


def test_the_tree_shows_what_was_said_where(ann: Caller) -> None:
    said = ann.talk("Hello", "One?")
    other = ann.say(*said[:2], "Two?")["text"]
    tree = ann.tree("true")
    first, *branches = tree["data"]
    assert (first["turn"], first["parent"], first["leaf"]) == (1, None, False)
    assert {one["parent"] for one in branches} == {first["id"]}
    texts = [[m["content"] for m in one["messages"]] for one in branches]
    assert sorted(texts) == sorted([["One?", said[3]], ["Two?", other]])
    assert [m["content"] for m in first["messages"]] == said[:2]
    assert all(one["messages"] is None for one in ann.tree()["data"])


def test_an_inner_state_that_is_gone_leaves_the_tree_whole(ann: Caller) -> None:
    said = ann.talk("Hello", "One?", "Two?")
    store = ann.app.context.manager._store
    inner = [key for key, kept in store._inner.items()]
    store.delete(inner)
    tree = ann.tree("true")
    assert [one["tokens"] is None for one in tree["data"]] == [True, True, False]
    assert [m["content"] for one in tree["data"] for m in one["messages"]] == said
    forked = ann.post(f"/v1/sessions/{tree['id']}/fork", json={"turn": 1})
    assert forked["tokens"] is None
    assert (
        ann.say("More?", conversation=forked["id"])["text"] == ann.say(*said[:2], "More?")["text"]
    )


@pytest.mark.parametrize(
    ("method", "end"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/fork"),
        ("POST", "/rewind"),
        ("POST", "/pin"),
        ("POST", "/unpin"),
        ("GET", "/export"),
    ],
)
def test_nobody_finds_anothers_session(both: tuple[Caller, Caller], method: str, end: str) -> None:
    ann, bob = both
    ann.talk("Hello")
    bob.talk("Hello")
    (mine,), (theirs,) = ann.sessions(), bob.sessions()
    assert mine["id"] != theirs["id"]
    body = {"turn": 1} if method == "POST" else None
    response = bob.http.request(method, f"/v1/sessions/{mine['id']}{end}", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "session_not_found")
    assert ann.sessions() == [mine]


@pytest.mark.parametrize(
    ("turn", "status", "code"),
    [(9, 404, "turn_not_found"), ("turn_00", 404, "turn_not_found"), (0, 400, "invalid_value")],
)
def test_a_turn_that_is_not_there_is_named(ann: Caller, turn: Any, status: int, code: str) -> None:
    ann.talk("Hello")
    error = ann.post(f"/v1/sessions/{ann.tree()['id']}/rewind", status, json={"turn": turn})
    assert error["error"]["code"] == code
    assert len(ann.tree()["data"]) == 1
