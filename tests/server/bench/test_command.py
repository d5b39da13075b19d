"""`rwkv-server bench` with everything as small as it gets, twice as a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from models import random_weights
from server import log as logs
from server.bench import plot
from server.bench.process import running
from server.bench.report import KINDS, BenchError
from server.cli import app
from tests.server.bench.standin import standin
from tests.server.tiny import checkpoint

ROOT = Path(__file__).parents[3]
SMALL = ("--streams", "1,2", "--prefill", "64", "--history", "100", "--rounds", "1")
QUICK = (*SMALL, "--others", "2", "--tokens", "8", "--threads", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def _no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda *_: None)


def bench(*arguments: str | Path) -> Result:
    """In this process: a start of Python costs more than what most tests measure."""
    done = CliRunner().invoke(app, ["bench", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done


def document(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bench(*arguments, "--json").stdout)
    return found


def numbers(value: Any) -> Iterator[float]:
    """Every number in a JSON document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def test_the_bundled_model_gives_a_document_of_positive_figures_and_a_picture(
    tmp_path: Path,
) -> None:
    picture = tmp_path / "turns.png"
    arguments = [*QUICK, "--plot", str(picture), "--turns", "7", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "server", "bench", *arguments],
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    found = json.loads(done.stdout)
    (server,) = found["servers"]
    served, alone = server["decode"], found["engine"]["answers"]
    assert [it.pop("cached_tokens") for it in served + alone] == [0, 0, 0, 0]
    assert [it["prompt_tokens"] for it in served] == [it["prompt_tokens"] for it in alone]
    for ours, engine in zip(served, alone, strict=True):
        share = ours["tokens_per_s"]["median"] / engine["tokens_per_s"]["median"]
        assert ours["engine_share"] == pytest.approx(share)
    assert all(it.pop("engine_share") is None for it in alone)
    assert all(number > 0 for number in numbers(found))
    assert found["model"]["id"] == "gosling"
    assert [it["streams"] for it in found["engine"]["decode"]] == [1, 2]
    assert [it["tokens"] for it in found["engine"]["prefill"]] == [64]
    (turns,) = server["turns"]
    assert tuple(turns["first_token_ms"]) == KINDS
    assert turns["prompt_tokens"] == pytest.approx(100, abs=10)
    assert server["long"]["turns"] == 7
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")


def test_another_server_is_measured_beside_it(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "model")
    with running({"model": {"path": str(path), "id": "other", "device": "cpu"}}) as other:
        found = document(*QUICK, "--model", path, "--against", other.url)
    own, against = found["servers"]
    assert (own["name"], own["model"]) == ("rwkv-server", "tiny")
    assert (against["name"], against["model"]) == (other.url, "other")
    assert all(number > 0 for number in numbers(against["turns"]))
    assert against["worked_bytes"] is None
    assert [it["engine_share"] for it in against["decode"]] == [None, None]


def test_what_a_measured_server_keeps_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves alone what the user has."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("RWKV_SERVER_DATA_DIR", raising=False)
    path = checkpoint(tmp_path / "model")
    with running({"model": {"path": str(path), "device": "cpu"}}) as server:
        body = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "Hello"}],
            "max_tokens": 2,
        }
        assert httpx.post(server.url + "/v1/chat/completions", json=body).status_code == 200
        (folder,) = (tmp_path / "data").iterdir()
        assert list(folder.iterdir())
    assert not list((tmp_path / "data").iterdir())


def test_a_server_that_is_not_ours_is_measured_alone() -> None:
    with standin() as other:
        found = document(*QUICK, "--only-against", "--against", other.url, "--api-key", "secret")
    assert (found["model"], found["engine"]) == (None, None)
    (server,) = found["servers"]
    assert server["model"] == "standin"
    assert server["turns"][0]["prompt_tokens"] is None
    assert set(other.keys) == {"Bearer secret"}


def test_a_command_that_is_terminated_takes_its_server_along() -> None:
    command = [sys.executable, "-m", "server", "bench", *QUICK, "--others", "100000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stderr is not None
        found = (re.search(r"listens on (http://\S+)", line) for line in process.stderr)
        url = next(match[1] for match in found if match)
        assert httpx.get(url + "/health").status_code == 200
        process.terminate()
        process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + "/health")


def test_tables_are_for_people() -> None:
    with standin() as other:
        done = bench(*QUICK, "--only-against", "--against", other.url)
    assert "follow-up after 100 (ms)" in done.stdout
    assert "share of" not in done.stdout
    assert "bench: round 1 of 1" in done.stderr


def test_what_number_formats_cost_on_held_out_dialogues() -> None:
    found = document("quality", "--device", "cpu", "--threads", "1", "--tokens", "300")
    rows = {row["dtype"]: row for row in found["formats"]}
    assert (rows["float32"]["kl"], rows["float32"]["agreement"]) == (0, 1)
    assert 0 < rows["bf16"]["kl"] < 0.01
    assert rows["bf16"]["agreement"] > 0.9
    assert 290 < rows["bf16"]["tokens"] < 300


def test_quality_reads_a_text_of_ones_own(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The goose walks along the river. " * 5, encoding="utf-8")
    found = document("quality", "--device", "cpu", "--text", text, "--dtype", "bf16")
    assert found["text"] == str(text)
    assert [row["dtype"] for row in found["formats"]] == ["bf16"]


def test_quality_is_measured_on_random_weights_of_a_named_generation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    little = random_weights.Size("6", layers=1, width=64, ranks=(32, 64))
    monkeypatch.setitem(random_weights.SIZES, "rwkv6-0.1b", little)
    arguments = "--shape", "rwkv6-0.1b", "--device", "cpu", "--threads", "1", "--tokens", "40"
    found = document("quality", *arguments, "--dtype", "bf16")
    assert found["model"] == "rwkv6-0.1b"
    assert 0 < found["formats"][0]["kl"] < 0.01


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "x.pth", "--shape", "0.1b"), "not both"),
        (("quality", "--shape", "rwkv6-3b"), "rwkv6- and one of these"),
        (("--model", "nowhere.pth"), "there is no checkpoint at nowhere.pth"),
        (("--shape", "3b"), "choose 0.1b, 0.4b"),
        (("--dtype", "int3"), "choose auto, float32"),
        (("--device", "tpu"), "use auto, cpu or cuda"),
        (("--only-against",), "needs --against"),
        (("--only-against", "--against", "http://127.0.0.1:1"), "does not answer"),
        (("--streams", "1,0"), "--streams is 1,0: give numbers above 0"),
        (("--turns", "3"), "give 0 or at least 7"),
        (("--history", "4x"), "--history is 4x"),
        (("--plot", "turns.svg"), "something.png"),
        (("--plot", "nowhere/turns.png"), "a folder that does not exist"),
        (("quality", "--dtype", "auto"), "--dtype is auto: choose float32"),
        (("quality", "--text", "nowhere.txt"), "nowhere.txt cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["bench", *arguments])
    (said,) = [it for it in result.stderr.splitlines() if not it.startswith("bench: ")]
    assert (result.exit_code, result.stdout) == (2, "")
    assert said.startswith("rwkv-server: ")
    assert words in said


def test_a_picture_without_matplotlib_is_refused_before_anything_is_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"pip install rwkv-server\[bench\]"):
        plot.check(tmp_path / "turns.png")
