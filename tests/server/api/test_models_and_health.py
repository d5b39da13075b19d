"""What is served, and whether it lives."""

import pytest
from openai.types import Model

from server import __version__
from tests.server.api.doubles import Api, assert_error


async def test_the_list_holds_the_model_as_the_sdk_types_it(api: Api) -> None:
    listed = (await api.client.get("/v1/models")).json()
    assert listed["object"] == "list"
    model = Model.model_validate(listed["data"][0], strict=True)
    assert (model.id, model.created, model.owned_by) == ("tiny", 1_700_000_000, "rwkv-server")


async def test_a_model_tells_what_it_is(api: Api) -> None:
    details = (await api.client.get("/v1/models/tiny")).json()["metadata"]
    assert details == {
        "architecture": "rwkv-7",
        "parameters": 12345,
        "layers": 2,
        "width": 64,
        "vocab_size": 100,
        "dtype": "float32",
        "tokenizer": "letters",
        "template": "g1",
        "context_length": None,
        "loaded": True,
        "adapter": None,
        "base": None,
    }


@pytest.mark.parametrize("name", ["other", "tiny/other", "Tiny", "tiny%20"])
async def test_another_model_is_not_found(api: Api, name: str) -> None:
    error = assert_error(await api.client.get(f"/v1/models/{name}"), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


async def test_health_is_ok_while_the_engine_lives(api: Api) -> None:
    response = await api.client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_health_can_be_asked_without_a_body(api: Api) -> None:
    response = await api.client.head("/health")
    assert (response.status_code, response.content) == (200, b"")


async def test_health_is_503_when_the_engine_has_died(api: Api) -> None:
    api.service.alive = False
    assert_error(await api.client.get("/health"), 503)


async def test_health_is_503_while_stopping(api: Api) -> None:
    api.context.stopping = True
    assert_error(await api.client.get("/health"), 503)


async def test_the_version_is_told(api: Api) -> None:
    assert (await api.client.get("/version")).json() == {"version": __version__}


async def test_the_document_promises_the_error_object(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    responses = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(responses) == {"200", "4XX", "5XX"}
    assert "HTTPValidationError" not in document["components"]["schemas"]
