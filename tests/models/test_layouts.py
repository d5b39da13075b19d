"""Folders of fla and files for web-rwkv give the logits of the `.pth` they were made from."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.checkpoint import open_checkpoint
from tests import layouts
from tests.checkpoints import Sizes, random_rwkv, save
from tests.layouts import from_pth, layout, logits, refusal

SIZES = Sizes(layers=3, width=64, head_size=32, ffn_width=96, vocab_size=64, ranks=(16, 8, 24, 40))
FLA_SIZES = Sizes(layers=2, width=128, ffn_width=160, vocab_size=64, ranks=(16, 8, 24, 40))

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def seven() -> Tensors:
    return random_rwkv("7", FLA_SIZES)


def fla_folder(tensors: Tensors, folder: Path, parts: int = 1, **changed: object) -> Path:
    layouts.write_shards(tensors, folder, parts)
    (folder / "config.json").write_text(json.dumps(layouts.FLA_CONFIG | changed))
    return folder


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("fused", [False, True])
def test_an_fla_folder_gives_the_logits_of_the_pth(
    fused: bool, parts: int, seven: Tensors, tmp_path: Path
) -> None:
    folder = fla_folder(layouts.fla(seven, fused=fused), tmp_path / "fla", parts)
    assert layout(folder) == "fla"
    assert torch.equal(logits(folder), from_pth(seven, tmp_path))


def test_an_fla_file_alone_is_recognised_by_its_tensors(seven: Tensors, tmp_path: Path) -> None:
    save_file(layouts.fla(seven), tmp_path / "anything.st")
    assert torch.equal(logits(tmp_path / "anything.st"), from_pth(seven, tmp_path))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"norm_eps": 1e-6}, "norm_eps 1e-06 at a head size of 64, expected 1e-05 at 64"),
        ({"hidden_act": "relu"}, "hidden_act 'relu', expected 'sqrelu'"),
    ],
)
def test_an_fla_configuration_that_is_not_that_of_rwkv_7_is_refused(
    changed: dict[str, object], said: str, seven: Tensors, tmp_path: Path
) -> None:
    assert said in refusal(fla_folder(layouts.fla(seven), tmp_path / "fla", **changed))


def test_an_fla_model_with_other_heads_has_another_norm_and_is_refused(tmp_path: Path) -> None:
    folder = fla_folder(layouts.fla(random_rwkv("7", SIZES)), tmp_path / "fla")
    assert "norm_eps 1e-05 at a head size of 32" in refusal(folder)


def test_a_tensor_that_is_there_twice_is_refused(seven: Tensors, tmp_path: Path) -> None:
    name = "model.layers.1.attn.x_w"
    both = layouts.fla(seven, fused=True) | {name: layouts.fla(seven)[name]}
    said = refusal(fla_folder(both, tmp_path / "fla"))
    assert "model.layers.1.attn.x_x" in said
    assert "would be blocks.1.att.x_w" in said


@pytest.mark.parametrize("shape", [(3,), (7, 1), (0,)])
@pytest.mark.parametrize("name", ["x_x", "w_lora.lora.0.weight", "r_k", "k_proj.weight"])
def test_a_tensor_of_a_wrong_shape_is_refused_by_its_name(
    name: str, shape: tuple[int, ...], seven: Tensors, tmp_path: Path
) -> None:
    stored = layouts.fla(seven, fused=True)
    stored[f"model.layers.1.attn.{name}"] = torch.zeros(shape)
    assert "att" in refusal(fla_folder(stored, tmp_path / "fla"))


def test_a_configuration_that_is_no_json_is_refused(seven: Tensors, tmp_path: Path) -> None:
    folder = fla_folder(layouts.fla(seven), tmp_path / "fla")
    for content in (b"{", b"[]", b"\xff", b"[" * 100_000, b'{"norm_eps": "x"}'):
        (folder / "config.json").write_bytes(content)
        assert "config.json" in refusal(folder)


def test_the_fingerprint_is_that_of_the_pth(seven: Tensors, tmp_path: Path) -> None:
    unused = {f"blocks.0.att.v{i}" for i in range(3)}
    flat = {n: t.flatten() if t.dim() == 3 and ".x_" not in n else t for n, t in seven.items()}
    official = save({n: t for n, t in flat.items() if n not in unused}, tmp_path / "model.pth")
    folder = fla_folder(layouts.fla(seven), tmp_path / "fla")
    assert open_checkpoint(folder).spec.fingerprint == open_checkpoint(official).spec.fingerprint


def halved(tensors: Tensors) -> Tensors:
    return {name: tensor.half().float() for name, tensor in tensors.items()}


@pytest.mark.parametrize("generation", ["4", "5.2", "6", "7"])
def test_a_web_rwkv_file_gives_the_logits_of_the_pth(generation: str, tmp_path: Path) -> None:
    tensors = halved(random_rwkv(generation, SIZES))
    save_file(layouts.web_rwkv(tensors), tmp_path / "model.st")
    assert layout(tmp_path / "model.st") == ("official" if generation == "4" else "web-rwkv")
    assert torch.equal(logits(tmp_path / "model.st"), from_pth(tensors, tmp_path))


def test_a_web_rwkv_file_is_recognised_whatever_it_is_called(tmp_path: Path) -> None:
    save_file(layouts.web_rwkv(random_rwkv("6", SIZES)), tmp_path / "model.safetensors")
    assert layout(tmp_path / "model.safetensors") == "web-rwkv"


@pytest.mark.parametrize("generation", ["4", "5.0", "5.1", "5.2", "6", "7"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_official_names_are_taken_for_official_in_every_number_format(
    dtype: torch.dtype, generation: str, tmp_path: Path
) -> None:
    path = save(random_rwkv(generation, SIZES), tmp_path / "model.safetensors", dtype)
    assert layout(path) == "official"
