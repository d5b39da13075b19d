"""A real server with a real, if random, model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.app import App
from tests.server.api.completions.asking import KEYS
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="package")
def serving(path: Path) -> Iterator[tuple[str, App]]:
    sizes = {"engine__max_slots": 4, "engine__max_queue": 4}
    with served(path, model__dtype="float32", server__api_keys=KEYS, **sizes) as both:
        yield both
