"""What surrounds every request: ids, the bound on bodies, other origins."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.server.api.doubles import PATH, Api, assert_error, body


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nowhere", PATH])
async def test_every_response_has_an_id(api: Api, path: str) -> None:
    assert (await api.client.get(path)).headers["x-request-id"].startswith("req_")


async def test_no_request_waits_for_a_thread_before_its_route(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a dependency is called in a thread")

    monkeypatch.setattr("fastapi.dependencies.utils.run_in_threadpool", never)
    assert (await api.chat()).status_code == 200


async def test_ids_differ(api: Api) -> None:
    ids = {(await api.client.get("/health")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


async def test_a_sane_id_is_kept(api: Api) -> None:
    response = await api.client.get("/health", headers={"x-request-id": "trace-1:2.3_a"})
    assert response.headers["x-request-id"] == "trace-1:2.3_a"


@pytest.mark.parametrize("given", ["", "a b", "a\tb", "x" * 129, "<script>", "é"])
async def test_another_id_is_replaced(api: Api, given: str) -> None:
    response = await api.client.get("/health", headers={b"x-request-id": given.encode()})
    assert response.headers["x-request-id"].startswith("req_")


async def test_a_stream_has_an_id(api: Api) -> None:
    assert (await api.chat(stream=True)).headers["x-request-id"]


async def chunked(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield b"x" * 1024


async def send(api: Api, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return await api.client.post(PATH, content=content, headers=headers)


async def test_a_declared_length_is_enough_to_refuse() -> None:
    api = Api(max_body_bytes=4096)
    async with api.client:
        assert_error(await send(api, b"x" * 5000), 413)


async def test_bytes_are_counted_where_no_length_is_declared() -> None:
    api = Api(max_body_bytes=4096)
    async with api.client:
        assert_error(await send(api, chunked(64 * 1024)), 413)
        assert (await api.chat()).status_code == 200


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    api = Api(max_body_bytes=4096)
    empty = len(str(body(user="")).replace(" ", ""))
    async with api.client:
        assert (await api.chat(user="x" * (4096 - empty))).status_code == 200
        assert_error(await api.chat(user="x" * (4097 - empty)), 413)


async def test_a_declared_length_of_many_digits_is_refused(api: Api) -> None:
    request = api.client.build_request("POST", PATH, json=body())
    request.headers["content-length"] = "9" * 5000
    assert_error(await api.client.send(request), 413)


async def test_other_origins_are_told_nothing_by_default(api: Api) -> None:
    response = await api.client.get("/health", headers={"origin": "https://evil.example"})
    assert not [name for name in response.headers if name.startswith("access-control")]


async def test_a_configured_origin_is_let_in_before_the_key_is_asked_for() -> None:
    api = Api(cors_origins=("https://chat.example",), api_keys=("k",))
    preflight = {
        "origin": "https://chat.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    async with api.client:
        response = await api.client.options(PATH, headers=preflight)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == "https://chat.example"
    assert "access-control-allow-credentials" not in response.headers
