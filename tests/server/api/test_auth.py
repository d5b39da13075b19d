"""Keys: who is let in, and as whom."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from tests.server.api.doubles import PATH, Api, assert_error, body

KEYS = ("first-key", "zweiter-schlüssel")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api(api_keys=KEYS)
    async with api.client:
        yield api


async def ask(api: Api, *authorization: str) -> object:
    headers = [("authorization", value.encode()) for value in authorization]
    return await api.client.post(PATH, json=body(), headers=headers)


@pytest.mark.parametrize("key", KEYS)
async def test_every_key_is_let_in(api: Api, key: str) -> None:
    assert (await ask(api, f"Bearer {key}")).status_code == 200


async def test_the_scheme_is_read_in_any_case(api: Api) -> None:
    assert (await ask(api, "bearer first-key")).status_code == 200


@pytest.mark.parametrize(
    "authorization",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer wrong",),
        ("Bearer first-key2",),
        ("Bearer first-ke",),
        ("Bearer FIRST-KEY",),
        ("Basic first-key",),
        ("first-key",),
        ("Bearer first-key,zweiter-schlüssel",),
    ],
)
async def test_anything_else_is_401(api: Api, authorization: tuple[str, ...]) -> None:
    response = await ask(api, *authorization)
    error = assert_error(response, 401)
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"
    assert api.service.requests == []


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/tiny", "/tokenizer_info", "/nowhere", "/openapi.json"]
)
async def test_every_address_needs_a_key(api: Api, path: str) -> None:
    assert_error(await api.client.get(path), 401)


@pytest.mark.parametrize("path", ["/health", "/ready", "/version"])
async def test_whoever_watches_needs_none(api: Api, path: str) -> None:
    assert (await api.client.get(path)).status_code == 200


async def test_a_body_is_not_read_before_the_key(api: Api) -> None:
    assert_error(await api.client.post(PATH, content=b"[" * 9_000_000), 401)


async def test_the_caller_is_the_hash_of_its_key(api: Api) -> None:
    await ask(api, "Bearer zweiter-schlüssel")
    digest = hashlib.sha256("zweiter-schlüssel".encode()).hexdigest()
    assert api.service.requests[0].caller == digest


async def test_without_keys_everybody_is_the_same_caller() -> None:
    api = Api()
    async with api.client:
        await ask(api)
        await ask(api, "Bearer anything")
    assert {request.caller for request in api.service.requests} == {"anonymous"}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/tiny", "/openapi.json"])
async def test_the_key_can_come_in_anthropics_header_everywhere(api: Api, path: str) -> None:
    assert_error(await api.client.get(path, headers={"x-api-key": "wrong"}), 401)
    response = await api.client.get(path, headers={"x-api-key": "first-key"})
    assert response.status_code == 200


async def test_the_caller_is_the_same_in_either_header(api: Api) -> None:
    key = "zweiter-schlüssel".encode()
    for headers in (
        {"x-api-key": key},
        {"authorization": b"Bearer " + key},
        {"x-api-key": key, "authorization": b"Bearer " + key},
        {"x-api-key": b"", "authorization": b"Bearer " + key},
        {"x-api-key": key, "authorization": b"Basic dTpw"},
    ):
        response = await api.client.post(PATH, json=body(), headers=headers)
        assert response.status_code == 200, headers
    assert len({request.caller for request in api.service.requests}) == 1


@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
async def test_two_different_keys_are_refused(api: Api, path: str) -> None:
    pairs = [("first-key", "wrong"), ("wrong", "first-key"), KEYS]
    for one, other in pairs:
        headers = {"x-api-key": one.encode(), "authorization": f"Bearer {other}".encode()}
        response = await api.client.post(path, json=body(max_tokens=1), headers=headers)
        assert response.status_code == 401
        assert "different keys" in response.json()["error"]["message"]
    assert api.service.requests == []
