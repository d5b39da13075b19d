"""The OpenAI SDK against a server of several models and adapters."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import InternalServerError, NotFoundError, OpenAI

from server.app import build
from server.config import Settings
from tests.server.several import configured, folder_of_all
from tests.server.tiny import serving

IDS = ["one", "two", "org/three", "one:mood", "one:poet"]
HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_all(tmp_path_factory.mktemp("models"))


@contextmanager
def client_of(settings: Settings) -> Iterator[OpenAI]:
    with (
        serving(settings) as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
    ):
        yield client


@pytest.fixture
def client(folder: Path) -> Iterator[OpenAI]:
    with client_of(configured(folder)) as client:
        yield client


def details(client: OpenAI, id: str) -> dict[str, Any]:
    return client.models.retrieve(id).to_dict()["metadata"]  # type: ignore[return-value]


def ask(client: OpenAI, id: str, **fields: Any) -> Any:
    return client.chat.completions.create(
        model=id, messages=HELLO, max_tokens=4, temperature=0, **fields
    )


def test_every_model_is_listed_without_being_loaded(client: OpenAI) -> None:
    listed = client.models.list()
    assert [model.id for model in listed] == IDS
    assert [id for id in IDS if details(client, id)["loaded"]] == ["one", "one:mood"]


@pytest.mark.parametrize("id", IDS)
def test_a_model_is_retrieved_whatever_its_id_holds(client: OpenAI, id: str) -> None:
    assert client.models.retrieve(id).id == id


def test_an_adapter_says_what_it_is_made_from(client: OpenAI) -> None:
    found = [(details(client, id)["adapter"], details(client, id)["base"]) for id in IDS]
    assert found == [(None, None)] * 3 + [("state", "one"), ("lora", "one")]


@pytest.mark.parametrize("id", IDS)
def test_an_answer_names_the_model_that_was_asked(client: OpenAI, id: str) -> None:
    assert ask(client, id).model == id
    assert details(client, id)["loaded"] is True


def test_fingerprints_tell_all_models_apart(client: OpenAI) -> None:
    assert len({ask(client, id).system_fingerprint for id in IDS}) == len(IDS)


@pytest.mark.parametrize("id", ["one:", "one:nobody", "org", "three", "two:mood"])
def test_what_is_not_served_is_not_found(client: OpenAI, id: str) -> None:
    with pytest.raises(NotFoundError, match="is not served here"):
        client.models.retrieve(id)
    with pytest.raises(NotFoundError, match="is not served here"):
        ask(client, id)


def test_raw_completions_of_a_model_and_its_adapters_differ(client: OpenAI) -> None:
    texts = [
        client.completions.create(model=id, prompt="Hello", max_tokens=8, temperature=0)
        for id in IDS
    ]
    assert [answer.model for answer in texts] == IDS
    assert len({answer.choices[0].text for answer in texts}) == len(IDS)


def test_a_model_for_which_there_is_no_room_is_a_503_with_a_time(folder: Path) -> None:
    room = build(configured(folder)).catalogue.offers[0].nbytes
    with client_of(configured(folder, engine__models_bytes=room)) as client:
        endless: Any = {"logit_bias": {"0": -100}, "stream": True}
        stream = client.chat.completions.create(
            model="one", messages=HELLO, max_tokens=10**6, **endless
        )
        with pytest.raises(InternalServerError) as caught:
            ask(client, "two")
        assert caught.value.status_code == 503
        assert caught.value.code == "model_unavailable"
        assert int(caught.value.response.headers["retry-after"]) > 0
        stream.close()


def test_a_checkpoint_that_broke_meanwhile_is_a_503_that_says_so(tmp_path: Path) -> None:
    with client_of(configured(folder_of_all(tmp_path))) as client:
        (tmp_path / "two.pth").write_bytes(b"no checkpoint")
        with pytest.raises(InternalServerError, match=r"two\.pth") as caught:
            ask(client, "two")
        assert caught.value.status_code == 503
        assert ask(client, "one").model == "one"
