"""One real server with the bundled model for all clients."""

from collections.abc import Iterator

import pytest

from tests.serving import server


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """Of the API, with /v1."""
    with server() as address:
        yield f"{address}/v1"
