"""Names by which the server may be called."""

from typing import Any

import pytest

from server.api.hosts import bare_host
from tests.server.api.doubles import Api, assert_error

KEY = {"authorization": "Bearer key"}


@pytest.mark.parametrize(
    ("settings", "host", "known"),
    [
        ({}, "localhost:8000", True),
        ({}, "LOCALHOST", True),
        ({}, "localhost.:80", True),
        ({}, "chat.localhost", True),
        ({}, "127.0.0.1:8000", True),
        ({}, "127.8.9.1", True),
        ({}, "[::1]:8000", True),
        ({}, "evil.example", False),
        ({}, "localhost.evil.example:8000", False),
        ({}, "127.0.0.1.evil.example", False),
        ({}, "192.168.0.7:8000", False),
        ({}, "", False),
        ({"host": "localhost"}, "evil.example", False),
        ({"host": "::1"}, "evil.example", False),
        ({"allowed_hosts": ["chat.example"]}, "Chat.example:443", True),
        ({"allowed_hosts": ["chat.example"]}, "evil.example", False),
        # Behind a key, or open to others anyway, a name is nothing that protects.
        ({"api_keys": ["key"]}, "chat.example", True),
        ({"host": "0.0.0.0"}, "gpu-server:8000", True),
        ({"host": "0.0.0.0", "allowed_hosts": ["gpu-server"]}, "gpu-server:8000", True),
        ({"host": "0.0.0.0", "allowed_hosts": ["gpu-server"]}, "127.0.0.1", True),
        ({"host": "0.0.0.0", "allowed_hosts": ["gpu-server"]}, "evil.example", False),
    ],
)
async def test_only_known_names_are_answered(
    settings: dict[str, Any], host: str, known: bool
) -> None:
    api = Api(**settings)
    response = await api.client.get("/v1/models", headers={"host": host, **KEY})
    if known:
        assert response.status_code == 200
    else:
        assert assert_error(response, 421)["code"] == "unknown_host"


async def test_a_page_of_an_unknown_name_is_not_let_in_by_its_preflight() -> None:
    api = Api(cors_origins=["https://chat.example"])
    response = await api.client.options("/v1/models", headers={"host": "evil.example"})
    assert response.status_code == 421


@pytest.mark.parametrize(
    ("given", "bare"),
    [("a:1", "a"), ("::1", "::1"), ("[::1]", "::1"), ("[fe80::1]:9", "fe80::1"), ("a", "a")],
)
def test_ports_are_no_part_of_a_name(given: str, bare: str) -> None:
    assert bare_host(given) == bare
