"""The house in order: lock, Makefile, container, contracts, and the rules every module keeps."""

import ast
import importlib.util
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from server.config.schema import KEYS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
MODULES = sorted(path for folder in ("server", "models") for path in (ROOT / folder).rglob("*.py"))


def canonical(requirement: str) -> str:
    """The normalised name at the start of a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~;\[]", requirement)[0]).lower()


def locked() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A make that runs these tests must not hand its own flags down.
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )


def test_every_dependency_is_locked() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    wanted = [*PROJECT["project"]["dependencies"], *(item for extra in extras for item in extra)]
    names = {canonical(line) for line in locked()}
    assert [item for item in wanted if canonical(item) not in names] == []


def test_the_lock_holds_exact_public_versions_and_nothing_else() -> None:
    exact = re.compile(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*")
    assert [line for line in locked() if not exact.fullmatch(line)] == []


def test_every_switched_off_rule_has_its_reason_beside_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lists = re.findall(
        r"^(?:ignore|filterwarnings|\"tests[^\n]*) = \[\n(.*?)^\]", text, re.M | re.S
    )
    lines = [line.strip() for block in lists for line in block.splitlines()]
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if not line.startswith("#") and "#" not in line + before and line != '"error",'
    ]
    assert lists
    assert bare == []


def test_the_distribution_carries_the_version_of_the_package() -> None:
    spec = importlib.util.find_spec("server")
    assert spec is not None
    assert spec.origin is not None
    version = re.search(r'__version__ = "(\d+\.\d+\.\d+)"', Path(spec.origin).read_text())
    assert version
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "server/__init__.py"


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert "\n## [Unreleased]\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_license_is_the_one_the_project_names() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_make_alone_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: (.*)$", text, re.M))
    listed = set(re.findall(r"^  make (\S+)", make().stdout, re.M))
    assert listed == targets


def test_make_says_in_one_sentence_that_python_is_missing(tmp_path: Path) -> None:
    done = make("setup", "PYTHON=/nonexistent/python", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said == [
        "No Python 3.11 or newer with the venv module was found: install python3 and "
        "python3-venv, or name one with make PYTHON=/path/to/python3."
    ]


def test_what_make_starts_keeps_what_python_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    program = "import sys; print(sys.dont_write_bytecode)"
    recipe = f"asked: ; @{sys.executable} -c '{program}'"
    assert make("--eval", recipe, "asked").stdout == "False\n"


def test_serving_does_not_install_the_test_tools() -> None:
    done = make("--dry-run", "--always-make", "serve")
    assert "-e ." in done.stdout
    assert "test,dev" not in done.stdout


def test_ci_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make check"


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name}\s+(.*)$", joined, re.M)


def test_the_container_does_not_run_as_root() -> None:
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\d+)$", final, re.M) == ["10001"]


def test_both_stages_stand_on_the_same_image() -> None:
    assert instructions("FROM") == ["${BASE} AS builder", "${BASE}"]


def test_the_container_tells_its_health_its_port_and_its_volumes() -> None:
    assert "docker/healthcheck.py" in DOCKERFILE
    assert len(instructions("HEALTHCHECK")) == 1
    assert instructions("EXPOSE") == ["8000"]
    assert instructions("VOLUME") == ["/models /data"]


def test_everything_the_image_copies_is_in_the_build_context() -> None:
    allowed = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("!")
    }
    copies = [line.split()[:-1] for line in instructions("COPY") if "--from" not in line]
    sources = {source for line in copies for source in line}
    assert sources == allowed
    assert [source for source in sources if not (ROOT / source).exists()] == []


def test_only_settings_that_exist_are_set_by_the_container_files() -> None:
    known = {key.env for key in KEYS.values()} | {key.about.alias for key in KEYS.values()}
    text = DOCKERFILE + (ROOT / "docker" / "compose.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"RWKV_SERVER_\w+", text)) <= known


def test_the_published_port_is_on_the_loopback_address() -> None:
    text = (ROOT / "docker" / "compose.yml").read_text(encoding="utf-8")
    ports = re.findall(r'^    - "(.*:8000)"$', text, re.M)
    assert ports == ["127.0.0.1:${PORT:-8000}:8000"]


@pytest.fixture
def healthcheck() -> ModuleType:
    path = ROOT / "docker" / "healthcheck.py"
    spec = importlib.util.spec_from_file_location("healthcheck", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def answering(request: pytest.FixtureRequest) -> Iterator[str]:
    """The port of a server that answers every GET with the status of the parameter."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield str(server.server_port)
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answering", "expected"), [(200, True), (503, False)], indirect=["answering"]
)
def test_the_health_check_reads_the_status(
    answering: str, expected: bool, healthcheck: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert healthcheck.healthy(answering) is expected


def test_the_health_check_fails_where_nothing_listens(healthcheck: ModuleType) -> None:
    assert healthcheck.healthy("1") is False


def test_every_module_opens_with_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
    assert [str(path) for path, tree in trees.items() if not ast.get_docstring(tree)] == []


def test_every_module_stays_below_300_lines() -> None:
    sizes = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert [str(path) for path, size in sizes.items() if size >= 300] == []
