"""A session belongs to one model, and to one adapter of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.api.sessions.callers import Caller
from tests.server.several import configured, folder_of_all
from tests.server.tiny import serving

MODELS = ("one", "two", "one:mood", "one:poet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_all(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def several(folder: Path) -> Iterator[Caller]:
    """A caller with the same words said to every model."""
    with serving(configured(folder)) as (url, app):
        caller = Caller(url, "any", app)
        for model in MODELS:
            caller.say("Hello", model=model)
        yield caller
        caller.http.close()


def session_of(caller: Caller, model: str) -> dict[str, Any]:
    (session,) = caller.get("/v1/sessions", params={"model": model})["data"]
    return session


def test_the_same_words_to_each_model_are_a_session_of_each(several: Caller) -> None:
    assert [one["model"] for one in several.sessions()] == list(MODELS[::-1])
    assert len({one["id"] for one in several.sessions()}) == len(MODELS)
    assert [session_of(several, model)["model"] for model in MODELS] == list(MODELS)


def test_a_model_that_is_not_served_has_no_list(several: Caller) -> None:
    error = several.get("/v1/sessions", 404, params={"model": "davinci"})["error"]
    assert (error["param"], error["code"]) == ("model", "model_not_found")


@pytest.mark.parametrize("model", MODELS)
def test_a_fork_goes_on_with_its_own_model(several: Caller, model: str) -> None:
    made = several.post(f"/v1/sessions/{session_of(several, model)['id']}/fork", json={})
    assert made["model"] == model
    assert several.say("More?", model=model, conversation=made["id"])["cached"] == made["tokens"]


@pytest.mark.parametrize("other", ["two", "one:mood", "one:poet"])
def test_a_fork_is_refused_to_another_model_or_adapter(several: Caller, other: str) -> None:
    made = several.post(f"/v1/sessions/{session_of(several, 'one')['id']}/fork", json={})
    before = several.sessions()
    asked: dict[str, Any] = {"model": other, "conversation": made["id"]}
    chat = asked | {"messages": [{"role": "user", "content": "More?"}]}
    for path, body in (
        ("/v1/chat/completions", chat),
        ("/v1/responses", asked | {"input": "More?"}),
        ("/v1/responses/input_tokens", asked | {"input": "More?"}),
    ):
        error = several.post(path, 400, json=body)["error"]
        assert (error["param"], error["code"]) == ("conversation", "model_mismatch")
        assert repr(other) in error["message"]
    assert several.sessions() == before


@pytest.mark.parametrize("model", MODELS)
def test_a_file_comes_back_to_the_model_that_it_is_of(several: Caller, model: str) -> None:
    id = session_of(several, model)["id"]
    data = several.http.get(f"/v1/sessions/{id}/export").content
    several.delete(f"/v1/sessions/{id}")
    made = several.bring(data)
    assert (made["model"], made["session"]) == (model, id)
    assert several.say("Hello", model=model)["read"] > 0  # only the answer's end was in it
    assert several.say("More?", model=model, conversation=made["id"])["cached"] == made["tokens"]


def test_what_an_adapter_has_said_stays_with_it(folder: Path, tmp_path: Path) -> None:
    """Also on a server that has the model without the adapter, or no longer."""
    kept = {"sessions__archive": True, "sessions__data_dir": str(tmp_path)}
    with serving(configured(folder, **kept)) as (url, app):
        caller = Caller(url, "any", app)
        caller.say("Hello", model="one:mood")
        id = session_of(caller, "one:mood")["id"]
        data = caller.export()
        caller.http.close()
    with serving(configured(folder, "", **kept)) as (url, app):
        caller = Caller(url, "any", app)
        error = caller.bring(data, 400)["error"]
        assert error["code"] == "model_mismatch"
        assert "'one:mood'" in error["message"]
        (session,) = caller.sessions()
        assert (session["id"], session["model"]) == (id, None)
        for what in ("fork", "rewind"):
            error = caller.post(f"/v1/sessions/{id}/{what}", 400, json={"turn": 1})["error"]
            assert error["code"] == "model_mismatch"
        shown = caller.get(f"/v1/sessions/{id}", params={"text": "true"})
        assert shown["data"][0]["messages"][0]["content"] == "Hello"
        caller.delete(f"/v1/sessions/{id}")
        caller.http.close()
