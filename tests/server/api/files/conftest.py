"""A real server for each file, with little room."""

from collections.abc import Iterator
from typing import Any

import pytest

from server.app import App
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    options: dict[str, Any] = {"files__max_file_bytes": "64KiB", "server__max_body_bytes": "4KiB"}
    with served(
        path, server__api_keys=["key", "other"], engine__max_slots=2, engine__max_queue=1, **options
    ) as both:
        yield both
