"""Settings for every test."""

import gc
import os
import tempfile
from pathlib import Path

import pytest
import torch

from models.native.library import available

collect_ignore = ["gpu", "arm"]  # what `make gpu-check` and `make arm-check` run, if they can


# No test, nor any process that one starts, may see the conversations of whoever runs it.
_DATA = tempfile.TemporaryDirectory(prefix="rwkv-server-tests-")
os.environ["XDG_DATA_HOME"] = _DATA.name
for name in ("RWKV_SERVER_DATA_DIR", "RWKV_SERVER_SESSIONS__DATA_DIR"):
    os.environ.pop(name, None)


def pytest_collection_finish() -> None:
    """What all tests import is much, and need not be looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_data(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Conversations of one test are not found by the next."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """For each test anew: tiny models lose by more, and a test before may have asked for some."""
    torch.set_num_threads(1)


@pytest.fixture
def native_library() -> None:
    """For tests that without it would compare torch with itself."""
    assert available(), "the native library is not built: python -m models.native.build"
