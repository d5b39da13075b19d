"""Sessions as a person with curl meets them: two servers, two callers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from safetensors.torch import load

from server.app import App
from tests.server.tiny import checkpoint, served

KEYS = ("key-of-ann", "key-of-bob")
OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


class Caller:
    def __init__(self, url: str, key: str, app: App) -> None:
        headers = {"authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)
        self.app = app

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return self._json(self.http.get(path, **options), status)

    def post(self, path: str, status: int = 200, **options: Any) -> Any:
        return self._json(self.http.post(path, **options), status)

    def delete(self, path: str, status: int = 200) -> Any:
        return self._json(self.http.delete(path), status)

    def _json(self, response: httpx.Response, status: int) -> Any:
        assert response.status_code == status, response.text
        return response.json()

    def say(self, *texts: str, **more: Any) -> dict[str, Any]:
        """The answer to the texts, of which every second one is the assistant's."""
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
        body = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": 8, **more}
        answer = self.post("/v1/chat/completions", json=body)
        usage = answer["usage"]
        return {
            "text": answer["choices"][0]["message"]["content"],
            "cached": usage["prompt_tokens_details"]["cached_tokens"],
            "read": usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"],
        }

    def talk(self, *questions: str) -> list[str]:
        """All that was said in a conversation of these questions."""
        said: list[str] = []
        for question in questions:
            said += [question, ""]
            said[-1] = self.say(*said[:-1])["text"]
        return said

    def sessions(self) -> list[dict[str, Any]]:
        return self.get("/v1/sessions")["data"]

    def tree(self, text: str = "false") -> dict[str, Any]:
        (session,) = self.sessions()
        return self.get(f"/v1/sessions/{session['id']}", params={"text": text})

    def export(self, **params: Any) -> bytes:
        (session,) = self.sessions()
        response = self.http.get(f"/v1/sessions/{session['id']}/export", params=params)
        assert response.status_code == 200, response.text
        assert int(response.headers["content-length"]) == len(response.content)
        return response.content

    def bring(self, data: bytes, status: int = 200) -> Any:
        return self.post("/v1/sessions/import", status, content=data, headers=OCTETS)


@contextmanager
def callers(path: Path, **overrides: Any) -> Iterator[tuple[Caller, Caller]]:
    with served(path, server__api_keys=list(KEYS), **overrides) as (url, app):
        ann, bob = (Caller(url, key, app) for key in KEYS)
        yield ann, bob
        ann.http.close()
        bob.http.close()


@pytest.fixture
def both(path: Path) -> Iterator[tuple[Caller, Caller]]:
    with callers(path) as both:
        yield both


@pytest.fixture
def ann(both: tuple[Caller, Caller]) -> Caller:
    return both[0]


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


def test_a_pinned_state_is_not_evicted(path: Path) -> None:
    with callers(path, sessions__memory_bytes=300_000) as (ann, _):
        ann.talk("Hello")
        id = ann.sessions()[0]["id"]
        assert ann.post(f"/v1/sessions/{id}/pin", json={})["pinned"]
        for number in range(30):
            ann.talk(f"Other {number}")
        assert ann.app.context.manager._store.evicted > 0
        assert id in {one["id"] for one in ann.sessions()}
        assert not ann.post(f"/v1/sessions/{id}/unpin", json={})["pinned"]
        for number in range(30):
            ann.talk(f"Else {number}")
        assert id not in {one["id"] for one in ann.sessions()}


def test_one_caller_cannot_pin_everything(path: Path) -> None:
    with callers(path, sessions__memory_bytes=300_000) as (ann, _):
        codes = []
        for number in range(20):
            ann.talk(f"Hello {number}")
            newest = ann.sessions()[0]["id"]
            response = ann.http.post(f"/v1/sessions/{newest}/pin", json={})
            codes.append(response.json().get("error", {}).get("code"))
        assert codes[0] is None
        assert codes[-1] == "pin_limit_exceeded"
        assert 0 < ann.app.context.manager._store.pinned_nbytes <= 150_000


def test_an_export_goes_on_elsewhere_as_it_would_here(path: Path) -> None:
    with callers(path) as (ann, _):
        said = ann.talk("Hello", "One?", "Two?")
        data = ann.export()
        here = ann.say(*said, "More?")
    assert len(load(data)) == 3 * 6
    assert not any(key.encode() in data for key in KEYS)
    with callers(path) as (_, bob):
        made = bob.bring(data)
        assert (made["snapshots"], made["model"]) == (3, "tiny")
        there = bob.say("More?", conversation=made["id"])
        assert (there["text"], there["read"]) == (here["text"], here["read"])
        assert there["cached"] == made["tokens"]
        # A client that has the text needs no id.
        assert bob.say(*said, "Else?")["cached"] == made["tokens"]
        assert bob.say(*said[:2], "Else?")["cached"] > 0
        assert bob.tree("true")["branches"] == 3


def test_a_branch_is_exported_alone_and_a_tree_whole(ann: Caller) -> None:
    said = ann.talk("Hello", "One?")
    ann.say(*said[:2], "Two?")
    assert len(load(ann.export(turn=1))) == 6
    assert len(load(ann.export())) == 12
    assert len(load(ann.export(tree="true"))) == 18


def test_a_pinned_session_is_pinned_where_it_comes_to(both: tuple[Caller, Caller]) -> None:
    ann, bob = both
    ann.talk("Hello")
    ann.post(f"/v1/sessions/{ann.tree()['id']}/pin", json={})
    assert bob.bring(ann.export())["pinned"]
    assert bob.sessions()[0]["pinned"]


def test_another_model_is_told_both_fingerprints(path: Path, tmp_path: Path) -> None:
    with callers(path) as (ann, _):
        ann.talk("Hello")
        data = ann.export()
        mine = ann.app.service.model.fingerprint
    with callers(checkpoint(tmp_path, "other.pth", seed=7)) as (ann, _):
        error = ann.bring(data, 400)["error"]
        assert error["code"] == "model_mismatch"
        assert mine in error["message"]
        assert ann.app.service.model.fingerprint in error["message"]


def header(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return found


def body(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def packed(head: Any, rest: bytes) -> bytes:
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + rest


def changed(data: bytes, name: str, **fields: Any) -> bytes:
    head = header(data)
    head[name] |= fields
    return packed(head, body(data))


def nan(data: bytes) -> bytes:
    """With a number that is none, and a digest that fits."""
    import hashlib

    rest = b"\x00\x00\xc0\x7f" + body(data)[4:]
    digest = hashlib.blake2b(rest, digest_size=16).hexdigest()
    return changed(packed(header(data), rest), "__metadata__", digest=digest)


def retold(data: bytes, told: bytes) -> bytes:
    """With other messages of the same length, and a digest that fits."""
    import hashlib

    rest = body(data)
    begin, end = header(data)["0.told"]["data_offsets"]
    rest = rest[:begin] + told.ljust(end - begin)[: end - begin] + rest[end:]
    digest = hashlib.blake2b(rest, digest_size=16).hexdigest()
    return changed(packed(header(data), rest), "__metadata__", digest=digest)


HOSTILE = {
    "nothing": lambda d: b"",
    "another format": lambda d: b"PK\x03\x04" + d,
    "a pickle": lambda d: b"\x80\x04\x95" + bytes(60),
    "truncated": lambda d: d[:-1],
    "only a header": lambda d: d[: -len(body(d))],
    "half a header": lambda d: d[:40],
    "more than it says": lambda d: d + b"!",
    "a huge header": lambda d: (2**62).to_bytes(8, "little") + d[8:],
    "an empty header": lambda d: bytes(8) + d,
    "a header that is no JSON": lambda d: packed(b"{" * 500, body(d)),
    "a deep header": lambda d: packed(b"[" * 200_000, body(d)),
    "a header that is a list": lambda d: packed([], body(d)),
    "no metadata": lambda d: packed({}, body(d)),
    "metadata that are a list": lambda d: packed(header(d) | {"__metadata__": []}, body(d)),
    "a number that is none": lambda d: packed(b'{"a": NaN}', body(d)),
    "a name twice": lambda d: packed(
        json.dumps(header(d)).encode()[:-1] + b', "0.wkv": {}}', body(d)
    ),
    "another version": lambda d: changed(d, "__metadata__", version="2"),
    "a version that is a number": lambda d: changed(d, "__metadata__", version=1),
    "a longer metadata": lambda d: changed(d, "__metadata__", path="../../etc/passwd"),
    "many snapshots": lambda d: changed(d, "__metadata__", snapshots="99999"),
    "no snapshots": lambda d: changed(d, "__metadata__", snapshots="0"),
    "snapshots below nothing": lambda d: changed(d, "__metadata__", snapshots="-1"),
    "another digest": lambda d: changed(d, "__metadata__", digest="00" * 16),
    "an unknown pin": lambda d: changed(d, "__metadata__", pinned="yes"),
    "another type": lambda d: changed(d, "0.wkv", dtype="I64"),
    "a type that is none": lambda d: changed(d, "0.wkv", dtype=["F32"]),
    "half a type": lambda d: changed(d, "0.logits", dtype="F16"),
    "another shape": lambda d: changed(d, "0.wkv", shape=[2, 1, 2, 64, 16]),
    "a shape below nothing": lambda d: changed(d, "0.fed", shape=[-1]),
    "a shape of truths": lambda d: changed(d, "0.fed", shape=[True]),
    "a huge shape": lambda d: changed(d, "0.fed", shape=[2**39], data_offsets=[0, 2**41]),
    "a lying place": lambda d: changed(d, "0.logits", data_offsets=[0, 2048]),
    "a place beyond": lambda d: changed(d, "0.told", data_offsets=[2**39, 2**39 + 8]),
    "a tensor too many": lambda d: packed(header(d) | {"../../x": header(d)["0.fed"]}, body(d)),
    "a changed byte": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "a state that is none": nan,
    "messages that are none": lambda d: retold(d, b"hello"),
    "messages of another version": lambda d: retold(d, b'{"version":9,"messages":[],"tools":[]}'),
    "no messages": lambda d: retold(d, b'{"version":1,"messages":[],"tools":[]}'),
    "no answer": lambda d: retold(
        d, b'{"version":1,"messages":[{"role":"user","content":"a"}],"tools":[]}'
    ),
    "an unknown role": lambda d: retold(
        d, b'{"version":1,"messages":[{"role":"root","content":"a"}],"tools":[]}'
    ),
}


@pytest.fixture(scope="module")
def told(path: Path) -> Iterator[tuple[Caller, bytes]]:
    """A server, and a good file of it."""
    with callers(path) as (ann, _):
        ann.talk("Hello, this is a question that is long enough for what the tests put here.")
        data = ann.export()
        ann.delete(f"/v1/sessions/{ann.tree()['id']}")
        yield ann, data


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_is_kept(
    told: tuple[Caller, bytes], name: str
) -> None:
    ann, data = told
    error = ann.bring(HOSTILE[name](data), 400)["error"]
    assert error["code"] == "invalid_session_file", error
    assert ann.sessions() == []


def test_the_file_that_hostile_ones_are_made_of_is_taken(told: tuple[Caller, bytes]) -> None:
    ann, data = told
    assert ann.bring(data)["snapshots"] == 1
    ann.delete(f"/v1/sessions/{ann.tree()['id']}")


def test_a_file_that_is_too_large_is_refused(path: Path) -> None:
    with callers(path, sessions__max_import_bytes=1000) as (ann, _):
        assert ann.bring(bytes(2**23), 413)["error"]["code"] == "request_too_large"


def test_a_form_is_no_session_file(ann: Caller) -> None:
    response = ann.http.post("/v1/sessions/import", content=b"x")
    assert response.status_code == 415
