"""Sessions as files, from one server to another."""

from pathlib import Path

from safetensors.torch import load

from tests.server.api.sessions.callers import KEYS, Caller, callers
from tests.server.tiny import checkpoint


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


def test_a_file_that_is_too_large_is_refused(path: Path) -> None:
    with callers(path, sessions__max_import_bytes=1000) as (ann, _):
        assert ann.bring(bytes(2**23), 413)["error"]["code"] == "request_too_large"


def test_a_form_is_no_session_file(ann: Caller) -> None:
    response = ann.http.post("/v1/sessions/import", content=b"x")
    assert response.status_code == 415
