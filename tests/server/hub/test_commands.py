"""`pull` and `models` as a person meets them, and serving what was pulled."""

import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from server import log as logs
from server.app import StartError, build
from server.cli import app
from server.hub import BUNDLED
from tests.server.hub.standin import TOKEN, Hub, Repository
from tests.server.tiny import checkpoint, served, settings

ROOT = Path(__file__).parents[3]
CONTENT = random.Random(0).randbytes(2_000_000)
REPO = "me/pirate"


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Callable[..., Result]:
    """Run a command in this process, with one repository on the hub."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")  # so that pull leaves no trace
    hub.repositories[REPO] = Repository({"model.pth": CONTENT})
    return lambda *arguments: CliRunner().invoke(app, arguments)


def assert_one_sentence(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("rwkv-server: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "server", *arguments]


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> dict[str, str]:
    """What another process needs to find the stand-in."""
    hub.repositories[REPO] = Repository({"model.pth": CONTENT})
    ours = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**ours, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")}


def test_pull_prints_the_path_and_how_to_serve_it(invoke: Callable[..., Result]) -> None:
    result = invoke("pull", REPO)
    assert result.exit_code == 0, result.stderr
    assert Path(result.stdout.strip()).read_bytes() == CONTENT
    assert result.stderr == f"Serve it with: rwkv-server serve --model {REPO}\n"


def test_pull_lists_the_files_to_choose_from_and_downloads_none(
    invoke: Callable[..., Result], hub: Hub
) -> None:
    hub.repositories[REPO].files["other.safetensors"] = b"1"
    result = invoke("pull", REPO)
    assert result.stdout == "      2 MB  model.pth\n       1 B  other.safetensors\n"
    assert_one_sentence(result, f"rwkv-server pull {REPO}:model.pth")
    assert hub.gets == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("me/nothing", "me/nothing"),
        (f"{REPO}:no.pth", "no.pth"),
        ("g1-1.5b", "BlinkDL/rwkv7-g1"),
        ("x.pth", "x.pth"),
        ("/a/b", "/a/b"),
        ("", "OWNER/REPOSITORY"),
    ],
)
def test_what_cannot_be_pulled_is_one_sentence(
    invoke: Callable[..., Result], name: str, said: str
) -> None:
    result = invoke("pull", name)
    assert_one_sentence(result, said)
    assert result.stdout == ""


def test_slow_pulling_is_logged_now_and_then_without_a_terminal(
    invoke: Callable[..., Result],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.cli.progress.LINE_S", 0.0)
    with caplog.at_level(logging.INFO, logger="server"):
        invoke("pull", REPO)
    assert {"pulling model.pth: 100 %", "checking model.pth: 100 %"} <= set(caplog.messages)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_pull_that_was_stopped_is_continued_by_the_next(
    hub: Hub, environment: dict[str, str], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    hub.hold = 1_000_000
    with subprocess.Popen(command("pull", REPO), env=environment, cwd=ROOT) as process:
        while not (found := [*tmp_path.rglob("*.incomplete")]) or not found[0].stat().st_size:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(20) == code
    hub.hold = 0
    start = found[0].stat().st_size
    done = subprocess.run(
        command("pull", REPO), env=environment, cwd=ROOT, capture_output=True, check=True
    )
    assert Path(done.stdout.decode().strip()).read_bytes() == CONTENT
    assert hub.gets == ["model.pth", f"model.pth bytes={start}-"]


def test_the_environment_names_hub_cache_and_token(
    hub: Hub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.repositories[REPO].gated = True
    environment["HF_TOKEN"] = TOKEN
    done = subprocess.run(
        command("pull", REPO), env=environment, cwd=ROOT, capture_output=True, check=True
    )
    path = Path(done.stdout.decode().strip())
    assert path.is_relative_to(tmp_path / "home" / "hub")
    # Nothing but what is needed was told or asked.
    assert [request.rpartition("/")[2] for request in hub.requests] == ["pirate", "model.pth"]

    asked = len(hub.requests)
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    again = subprocess.run(
        command("pull", REPO), env=offline, cwd=ROOT, capture_output=True, check=True
    )
    assert again.stdout == done.stdout
    assert len(hub.requests) == asked


def test_models_lists_names_sizes_and_whole_paths(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bundled.safetensors").write_bytes(b"123")
    monkeypatch.setitem(BUNDLED, "gosling", tmp_path)
    path = invoke("pull", REPO).stdout.strip()
    lines = [line.split() for line in invoke("models").stdout.splitlines()]
    assert ["gosling", "3", "B", str(tmp_path / "bundled.safetensors")] in lines
    assert [f"{REPO}:model.pth", "2", "MB", path] in lines


def test_models_are_listed_for_programs_as_well(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(BUNDLED, "gosling", tmp_path)
    path = invoke("pull", REPO).stdout.strip()
    assert json.loads(invoke("models", "--json").stdout) == [
        {
            "name": f"{REPO}:model.pth",
            "repo": REPO,
            "file": "model.pth",
            "size_bytes": len(CONTENT),
            "path": path,
        }
    ]


def test_where_no_model_is_the_way_to_one_is_told(
    invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(BUNDLED, "gosling", tmp_path)
    result = invoke("models")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "rwkv-server pull g1-1.5b" in result.stderr


@pytest.fixture
def tiny_on_hub(hub: Hub, tmp_path: Path) -> str:
    """A complete little model under an official name, with its tokenizer; its short name."""
    folder = checkpoint(tmp_path / "tiny").parent
    hub.repositories["BlinkDL/rwkv7-g1"] = Repository(
        {
            "rwkv7-g1d-0.1b-20260101-ctx8192.pth": (folder / "tiny.pth").read_bytes(),
            "tokenizer.json": (folder / "tokenizer.json").read_bytes(),
        }
    )
    return "g1-0.1b"


def test_what_was_pulled_is_served_by_the_same_name(
    invoke: Callable[..., Result], tiny_on_hub: str
) -> None:
    assert invoke("pull", tiny_on_hub).exit_code == 0
    messages = [{"role": "user", "content": "Hi"}]
    body = {"model": tiny_on_hub, "messages": messages, "max_tokens": 2}
    with served(Path(tiny_on_hub)) as (url, _):
        response = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20)
    assert response.status_code == 200
    assert response.json()["model"] == tiny_on_hub


def test_serving_never_fetches_but_says_what_does(hub: Hub, tiny_on_hub: str) -> None:
    with pytest.raises(StartError, match=f"`rwkv-server pull {tiny_on_hub}`"):
        build(settings(Path(tiny_on_hub)))
    assert hub.requests == []


def test_serving_a_local_file_does_not_load_the_hubs_library(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "tiny")
    code = (
        "import sys; from pathlib import Path; import server.cli; from server.app import build; "
        f"from tests.server.tiny import settings; build(settings(Path({str(path)!r}))); "
        "assert 'huggingface_hub' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
