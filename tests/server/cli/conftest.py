"""A little model, and commands that are run in this process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server import log as logs
from server.cli import app
from tests.server.tiny import checkpoint


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command in this process, away from any configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    for name in list(os.environ):
        if name.startswith("RWKV_SERVER_"):
            monkeypatch.delenv(name)
    return lambda *arguments: CliRunner().invoke(app, arguments)
