"""The HTTP application over a fake service, and OpenAI's SDK for real servers.

Whose tests ask a real server has a fixture `serving`: its URL, and what runs in it.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
from openai import OpenAI

from server.app import App
from tests.server.api.doubles import Api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with api.client:
        yield api


@pytest.fixture
def app(serving: tuple[str, App]) -> App:
    return serving[1]


@pytest.fixture
def client(serving: tuple[str, App]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
def stranger(serving: tuple[str, App]) -> Iterator[OpenAI]:
    """Somebody else."""
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="other", max_retries=0) as client:
        yield client
