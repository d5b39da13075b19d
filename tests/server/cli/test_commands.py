"""What all commands have in common, and what they show of the settings."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from server import __version__
from tests.server.cli.running import ROOT, assert_one_sentence


def test_the_version_is_told(invoke: Callable[..., Result]) -> None:
    assert invoke("--version").stdout == f"rwkv-server {__version__}\n"


def test_help_lists_every_command(invoke: Callable[..., Result]) -> None:
    output = invoke("--help").stdout
    assert all(command in output for command in ("serve", "chat", "pull", "models", "config"))


def test_config_prints_what_is_in_effect_and_where_from(invoke: Callable[..., Result]) -> None:
    output = invoke("config", "--port", "9000", "--model", "x.pth").stdout
    assert "port = 9000  # flag --port\n" in output
    assert 'path = "x.pth"  # flag --model\n' in output
    assert 'host = "127.0.0.1"  # default\n' in output


def test_config_masks_keys(invoke: Callable[..., Result]) -> None:
    output = invoke("config", "--api-key", "secret-1", "--api-key", "secret-2").stdout
    assert "secret" not in output
    assert 'api_keys = ["***", "***"]' in output


def test_config_prints_adapters_of_flags(invoke: Callable[..., Result]) -> None:
    output = invoke("config", "--adapter", "a=a.pth", "--adapter", "b=b.pth").stdout
    assert output.count("[[adapters]]") == 2
    assert 'path = "b.pth"  # flag --adapter\n' in output


def test_a_bad_adapter_flag_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("serve", "--adapter", "a.pth"), "--adapter", "NAME=PATH")


@pytest.mark.parametrize("command", ["serve", "config", "chat"])
def test_a_bad_setting_is_one_sentence(invoke: Callable[..., Result], command: str) -> None:
    assert_one_sentence(invoke(command, "--device", "tpu"), "--device", "auto, cpu or cuda")


def test_a_missing_configuration_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("serve", "--config", "nowhere.toml"), "nowhere.toml")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["config"], ["models"]])
def test_commands_that_compute_nothing_start_without_torch(
    arguments: list[str], tmp_path: Path
) -> None:
    program = (
        "import sys; from server.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout
