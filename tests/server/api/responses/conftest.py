"""A real server for each file, so that none finds what another asked."""

from collections.abc import Iterator

import pytest

from server.app import App
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    keys = ["key", "other"]
    with served(path, server__api_keys=keys, engine__max_slots=4, engine__max_queue=2) as both:
        yield both
