"""A server for random requests, and what is stored there."""

from collections.abc import Iterator

import pytest

from tests.fuzz.stored import Stored
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a server whose answers are short, whatever a request asks for."""
    path = checkpoint(tmp_path_factory.mktemp("model"))
    limits = {"server__request_timeout_s": 1.0, "engine__default_max_tokens": 8}
    with served(path, **limits) as (url, _):
        yield url


@pytest.fixture(scope="package")
def stored(url: str) -> Iterator[Stored]:
    stored = Stored(url)
    yield stored
    stored.close()
