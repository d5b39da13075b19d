"""Where the clients are, and running one of them against a server."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
# Beside the environment of the tests themselves; `make test` fills it.
CLIENTS = Path(sys.prefix).with_name(Path(sys.prefix).name + "-clients") / "bin"
LIMIT_S = 240


def python(program: str, url: str) -> Any:
    """What a program in programs/ prints, as JSON."""
    return _json(run(str(CLIENTS / "python"), str(FOLDER / "programs" / f"{program}.py"), url))


def node(program: str, url: str) -> Any:
    """What a program in node/ prints, as JSON."""
    return _json(run(str(CLIENTS / "node"), str(FOLDER / "node" / f"{program}.mjs"), url))


def run(*command: str, env: dict[str, str] | None = None) -> str:
    """The standard output of a command, without any network but this machine's."""
    if not Path(command[0]).exists():
        raise RuntimeError(f"{command[0]} is missing: `make clients` installs it")
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        cwd=FOLDER,
        env={**_environment(), **(env or {})},
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment() -> dict[str, str]:
    """Offline for everything that would otherwise fetch prices, updates or data."""
    return {
        **os.environ,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1",
        "OPENAI_API_KEY": "none",
    }


def _json(text: str) -> Any:
    return json.loads(text.strip().splitlines()[-1])
