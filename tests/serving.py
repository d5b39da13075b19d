"""A real server process, as a user would start it, for tests and measurements."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

LISTENING = re.compile(r"listening on (http://\S+)")


@contextmanager
def server(
    *args: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[str]:
    """Start `rwkv-server serve` on a free port; the URL once it says that it listens.

    It finds no conversations of earlier ones, unless `env` or `args` name its data folder.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rwkv-server-") as data,
        process(*args, env={"XDG_DATA_HOME": data, **(env or {})}, cwd=cwd) as (url, _),
    ):
        yield url


@contextmanager
def process(
    *args: str, env: Mapping[str, str], cwd: Path | None = None
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """As server(), with the process, and with the conversations of whoever it belongs to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--port", "0", *args],
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
        cwd=cwd,
    )
    try:
        url = _url(process)
        # Nobody reads its log any more, and a full pipe would block the server.
        Thread(target=_drain, args=(process,), daemon=True).start()
        yield url, process
    finally:
        process.terminate()
        process.wait(timeout=30)


def _drain(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    with process.stdout as log:
        for _ in log:
            pass


def _url(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if match := LISTENING.search(line):
            return match[1]
    raise RuntimeError("the server ended before it listened:\n" + "".join(seen))
