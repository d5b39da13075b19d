"""This server as a process of its own, as `rwkv-server serve` would start it.

It runs in a folder of its own with a configuration file of its own: what is configured where the
command was given does not reach it. What it keeps is in a folder of its own too, on the disk where
the user's conversations are.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from server.bench.report import BenchError
from server.config.session import SessionSettings
from server.keeping import data_dir

_LISTENING = re.compile(r"listening on (http://\S+)")
_END_S = 60

Tables = Mapping[str, Mapping[str, str | int]]


@dataclass(frozen=True, slots=True)
class Running:
    """start_s: from the start of the process until it listens."""

    url: str
    pid: int
    start_s: float

    def resident_bytes(self) -> int | None:
        """Memory of the process; None where the system does not tell."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        found = re.search(r"^VmRSS:\s+(\d+) kB$", text, re.M)
        return int(found[1]) * 1024 if found else None


@contextmanager
def running(tables: Tables) -> Iterator[Running]:
    """Start it with the settings of `tables`, sections by name. Raises BenchError."""
    with (
        tempfile.TemporaryDirectory(prefix="rwkv-server-") as folder,
        tempfile.TemporaryDirectory(prefix="rwkv-server-bench-", dir=disk()) as data,
    ):
        (Path(folder) / "config.toml").write_text(_toml(tables), encoding="utf-8")
        start = time.perf_counter()
        with _started(Path(folder), data) as process:
            url = _url(process)
            # Nobody reads its log any more, and a full pipe would block it.
            Thread(target=_drain, args=(process,), daemon=True).start()
            yield Running(url, process.pid, time.perf_counter() - start)


def disk() -> Path | None:
    """Where the user's folder for data is; None, for temporary files, where there can be none."""
    try:
        folder = data_dir(SessionSettings()).parent
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def _started(folder: Path, data: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment() | {"RWKV_SERVER_DATA_DIR": data},
        cwd=folder,
    )
    with process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RWKV_SERVER")}
    # Its folder is not this one: the packages are found where they were found here.
    return kept | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])}


def _url(process: "subprocess.Popen[str]") -> str:
    assert process.stderr is not None
    last = "it said nothing"
    for line in process.stderr:
        last = line.strip() or last
        if match := _LISTENING.search(line):
            return match[1]
    raise BenchError(f"the server ended before it listened: {last}")


def _drain(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for _ in process.stderr:
        pass


def _toml(tables: Tables) -> str:
    """JSON's strings and numbers are TOML's."""
    lines = []
    for name, values in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"
