"""engine.speculation: what a served model answers with it and without."""

import re
from pathlib import Path

import httpx
import pytest

from models.native.isa import OF_BF16, chosen_isa
from tests.server.tiny import checkpoint, served

pytestmark = pytest.mark.usefixtures("native_library")

ASKED = (
    {"temperature": 0, "max_tokens": 60},
    {"temperature": 0.5, "max_tokens": 60, "seed": 5, "allowed_token_ids": [7, 70]},
    {"allowed_token_ids": [7], "max_tokens": 150, "logprobs": 2},
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


def answers(path: Path, dtype: str, speculation: str) -> tuple[list[object], int]:
    """What was answered, and in how many steps."""
    with (
        served(path, model__dtype=dtype, engine__speculation=speculation) as (url, _),
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        said: list[object] = []
        for fields in ASKED:
            body = {"model": "tiny", "prompt": "Hello", "ignore_eos": True, **fields}
            body |= {"return_token_ids": True}
            said.append(http.post("/v1/completions", json=body).json()["choices"])
        found = re.search(r"step_duration_seconds_count\{.*\} (\d+)", http.get("/metrics").text)
        assert found is not None
        return said, int(found[1])


@pytest.mark.parametrize("dtype", ["bf16", "int8"])
def test_answers_are_the_same_with_drafts_and_without(path: Path, dtype: str) -> None:
    (drafted, fewer), (plain, steps) = (answers(path, dtype, it) for it in ("auto", "off"))
    assert drafted == plain
    assert steps > 250
    assert fewer < (0.8 * steps if chosen_isa() in OF_BF16 else steps + 1)
