"""llama.cpp's own tools, as they come, and its server."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

_START_S = 120


@dataclass(frozen=True, slots=True)
class Theirs:
    """bin: the folder with the tools; threads: for everything."""

    bin: Path
    threads: int

    def decode(self, model: Path, tokens: int) -> float:
        """Tokens per second of one stream; nothing is sampled."""
        return self._bench(model, "-p", "0", "-n", str(tokens))[0]

    def prefill(self, model: Path, tokens: Sequence[int]) -> list[float]:
        """Prompt tokens per second for each length."""
        return self._bench(model, "-n", "0", "-p", ",".join(map(str, tokens)))

    def _bench(self, model: Path, *arguments: str) -> list[float]:
        command = [*self._tool("llama-bench", model), "-r", "1"]
        rows = json.loads(_output([*command, "-o", "json", *arguments]))
        return [float(row["avg_ts"]) for row in rows]

    def streams(self, model: Path, streams: Sequence[int], prompt: int, tokens: int) -> list[float]:
        """Tokens per second of so many streams together, without their prompts."""
        counts = ",".join(map(str, streams))
        lengths = ["-npp", str(prompt), "-ntg", str(tokens), "-npl", counts]
        context = ["-c", str(2 * max(streams) * (prompt + tokens))]
        command = [*self._tool("llama-batched-bench", model), *context, *lengths]
        lines = _output([*command, "--output-format", "jsonl"]).splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines if line.startswith("{")]
        return [float(row["speed_tg"]) for row in rows]

    @contextmanager
    def serving(self, model: Path, slots: int) -> Iterator[str]:
        """The URL of llama-server."""
        port = _free_port()
        place = ["--host", "127.0.0.1", "--port", str(port)]
        # Every slot gets an equal part of the context, which costs a recurrent model no memory.
        sizes = ["-np", str(slots), "-c", str(slots * 100_000)]
        command = [*self._tool("llama-server", model), *place, *sizes]
        silent = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=silent, stderr=silent) as process:
            try:
                _wait(f"http://127.0.0.1:{port}", process)
                yield f"http://127.0.0.1:{port}"
            finally:
                process.terminate()

    def _tool(self, name: str, model: Path) -> list[str]:
        return [str(self.bin / name), "-m", str(model), "-t", str(self.threads)]


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(url: str, process: "subprocess.Popen[Any]") -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("llama-server does not start; try it by hand.")
