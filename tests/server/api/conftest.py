"""The HTTP application over a fake service."""

from collections.abc import AsyncIterator

import pytest

from tests.server.api.doubles import Api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with api.client:
        yield api
