"""`inspect` and `convert`, as a person at a terminal meets them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from models.checkpoint import open_checkpoint
from models.tokenizer.world import WORLD_NAME
from server import __version__
from server import log as logs
from server.cli import app
from tests import layouts
from tests.checkpoints import Sizes, random_rwkv, save
from tests.server.tiny import SIZES, checkpoint

LINES = """\
layout                  official, PyTorch
generation              RWKV-7
layers                  2
width                   64
heads                   2 × 32
channel-mix width       128
vocabulary              512
"""


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    return lambda *arguments: CliRunner().invoke(app, [str(it) for it in arguments])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "model")


def test_inspect_tells_what_a_checkpoint_is(invoke: Callable[..., Result], path: Path) -> None:
    result = invoke("inspect", path)
    assert result.exit_code == 0, result.output
    assert LINES in result.stdout
    assert f"path                    {path}\n" in result.stdout
    assert "number formats          float32\n" in result.stdout
    assert "template                g1\n" in result.stdout
    assert "state per conversation  17.4 kB as float32, 17.4 kB as bf16" in result.stdout


def test_inspect_tells_the_same_as_json(invoke: Callable[..., Result], path: Path) -> None:
    spec = open_checkpoint(path).spec
    found = json.loads(invoke("inspect", "--json", path).stdout)
    assert found["generation"] == "7"
    assert (found["heads"], found["head_size"]) == (SIZES.heads, SIZES.head_size)
    assert found["parameters"] == spec.parameters
    assert spec.fingerprint.startswith(found["fingerprint"])
    assert found["weights_bytes"]["bf16"] == 2 * spec.parameters
    assert found["number_formats"] == {"float32": spec.parameters}


def test_inspect_names_the_tokenizer_beside_the_checkpoint(
    invoke: Callable[..., Result], path: Path
) -> None:
    named = json.loads(invoke("inspect", "--json", path).stdout)["tokenizer"]
    (path.parent / "tokenizer.json").unlink()
    without = json.loads(invoke("inspect", "--json", path).stdout)["tokenizer"]
    assert not named.startswith("none: ")
    assert without.startswith("none: the model has 512 tokens, so its tokenizer is not World")


def test_inspect_knows_world_by_its_rows(invoke: Callable[..., Result], tmp_path: Path) -> None:
    sizes = Sizes(layers=1, width=16, head_size=16, ffn_width=32, vocab_size=65536)
    path = save(random_rwkv("6", sizes), tmp_path / "world.pth", torch.bfloat16)
    found = json.loads(invoke("inspect", "--json", path).stdout)
    assert (found["tokenizer"], found["template"]) == (WORLD_NAME, "world")


def test_inspect_names_layout_and_formats_of_a_folder(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    tensors = random_rwkv("7", Sizes(layers=2))
    tensors["emb.weight"] = tensors["emb.weight"].half()
    layouts.write_shards(layouts.fla(tensors), tmp_path / "fla", 2)
    output = invoke("inspect", tmp_path / "fla").stdout
    assert "layout                  fla, safetensors\n" in output
    assert " %, fp16 " in output


def test_a_refused_checkpoint_is_one_sentence_and_exit_code_2(
    invoke: Callable[..., Result], path: Path
) -> None:
    path.write_bytes(path.read_bytes()[:-5])
    result = invoke("inspect", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"rwkv-server: {path} is damaged")
    assert result.stderr.count("\n") == 1


def test_a_refusal_as_json_has_the_sentence_and_exit_code_2(
    invoke: Callable[..., Result], tmp_path: Path
) -> None:
    path = save({"_version": torch.zeros(1)}, tmp_path / "converted.pth")
    result = invoke("inspect", path, "--json")
    assert result.exit_code == 2
    assert "give the original checkpoint instead" in json.loads(result.stdout)["refused"]


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_a_missing_checkpoint_is_one_sentence(
    invoke: Callable[..., Result], command: str, tmp_path: Path
) -> None:
    more = [tmp_path / "out.safetensors"] if command == "convert" else []
    result = invoke(command, "/nowhere/model.pth", *more)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no checkpoint at /nowhere/model.pth" in result.stderr


def test_convert_writes_a_file_and_names_it(
    invoke: Callable[..., Result], path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.safetensors"
    result = invoke("convert", path, target, "--dtype", "bf16")
    assert (result.exit_code, result.stdout) == (0, f"{target}\n")
    found = open_checkpoint(target)
    assert found.tensors.metadata["written_by"] == f"rwkv-server {__version__}"
    assert found.tensors["emb.weight"].dtype == torch.bfloat16


def test_convert_replaces_a_file_only_by_force(
    invoke: Callable[..., Result], path: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out.safetensors"
    shutil.copy(path, target)
    refused = invoke("convert", path, target)
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert invoke("convert", path, target, "--force").exit_code == 0


def test_convert_refuses_a_number_format_it_does_not_know(
    invoke: Callable[..., Result], path: Path, tmp_path: Path
) -> None:
    result = invoke("convert", path, tmp_path / "out.safetensors", "--dtype", "int8")
    assert result.exit_code == 2
    assert "choose float32, bf16, fp16" in result.stderr
