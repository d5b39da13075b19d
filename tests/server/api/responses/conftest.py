"""A real server for each file, so that none finds what another asked, and OpenAI's SDK."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from server.app import App
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    keys = ["key", "other"]
    with served(path, server__api_keys=keys, engine__max_slots=4, engine__max_queue=2) as both:
        yield both


@pytest.fixture
def client(serving: tuple[str, App]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
def stranger(serving: tuple[str, App]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="other", max_retries=0) as client:
        yield client
