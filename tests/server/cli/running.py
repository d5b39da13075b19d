"""Commands as processes, and what they say of a mistake."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import Result

ROOT = Path(__file__).parents[3]
LISTENING = re.compile(r"listening on (http://\S+)$")


def assert_one_sentence(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("rwkv-server: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert all(word in result.stderr for word in words), result.stderr


@contextmanager
def serving(path: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server process and its URL; its further lines are read and dropped."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--model", str(path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        try:
            found = (LISTENING.search(line.strip()) for line in process.stderr)
            url = next(match[1] for match in found if match)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, url
        finally:
            process.kill()
