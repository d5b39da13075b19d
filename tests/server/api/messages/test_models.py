"""Models through Anthropic's SDK, of a real server that has several."""

from collections.abc import Iterator
from datetime import UTC, datetime

import anthropic
import httpx
import pytest
from anthropic import Anthropic
from anthropic.types import ModelInfo
from openai import OpenAI

from server.app import App
from tests.server.api.document import check
from tests.server.several import configured, folder_of_all
from tests.server.tiny import serving as serving_of

IDS = ["one", "two", "org/three", "one:mood", "one:poet"]
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    folder = folder_of_all(tmp_path_factory.mktemp("models"))
    with serving_of(configured(folder, server__api_keys=["key"])) as both:
        yield both


@pytest.fixture
def other(serving: tuple[str, App]) -> Iterator[Anthropic]:
    with Anthropic(base_url=serving[0], api_key="key", max_retries=0) as client:
        yield client


def test_every_model_is_listed_as_the_sdk_types_it(other: Anthropic) -> None:
    page = other.models.list()
    assert [model.id for model in page.data] == IDS
    assert (page.has_more, page.first_id, page.last_id) == (False, IDS[0], IDS[-1])
    for model in page.data:
        assert model.type == "model"
        assert model.display_name == model.id
        assert model.lifecycle == "active"
        assert abs((datetime.now(UTC) - model.created_at).total_seconds()) < 3600
        assert not model.model_extra
        assert set(model.to_dict()) == set(ModelInfo.model_fields)


def test_the_beta_client_finds_them_too(other: Anthropic) -> None:
    assert [model.id for model in other.beta.models.list()] == IDS


def test_a_model_is_found_by_its_id(other: Anthropic) -> None:
    listed = other.models.list().data
    assert other.models.retrieve("two") == listed[1]


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_pages_follow_each_other(other: Anthropic, limit: int) -> None:
    assert [model.id for model in other.models.list(limit=limit)] == IDS


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_pages_go_back(other: Anthropic, limit: int) -> None:
    page = other.models.list(before_id=IDS[3], limit=limit)
    assert [model.id for model in page.data] == IDS[max(3 - limit, 0) : 3]
    assert page.has_more == (limit < 3)


def test_mistakes_are_the_exceptions_the_sdk_has_for_them(other: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        other.models.retrieve("four")
    assert missing.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    assert missing.value.request_id
    with pytest.raises(anthropic.AuthenticationError):
        other.with_options(api_key="wrong").models.list()
    for query in ({"limit": 0}, {"limit": 1001}, {"after_id": "four"}):
        with pytest.raises(anthropic.BadRequestError):
            other.models.list(**query)
    with pytest.raises(anthropic.BadRequestError):
        other.models.list(after_id="one", before_id="two")


def test_openais_clients_have_theirs(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == IDS
    assert client.models.retrieve("two").object == "model"


def test_both_are_as_documented(serving: tuple[str, App]) -> None:
    key = {"x-api-key": "key"}
    for headers in (key, key | VERSION):
        listed = httpx.get(f"{serving[0]}/v1/models", headers=headers).json()
        check(listed, "/v1/models", "get")
        one = httpx.get(f"{serving[0]}/v1/models/org/three", headers=headers).json()
        assert one in listed["data"]
        check(one, "/v1/models/{model}", "get")
