"""Ann and Bob, who ask one server of a tiny model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.chat import turn
from tests.server.api.sessions.callers import Caller, callers
from tests.server.tiny import checkpoint


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def both(path: Path) -> Iterator[tuple[Caller, Caller]]:
    with callers(path) as both:
        yield both


@pytest.fixture
def ann(both: tuple[Caller, Caller]) -> Caller:
    return both[0]


@pytest.fixture
def all_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive has states behind short questions too."""
    monkeypatch.setattr(turn, "LONG", 0)
