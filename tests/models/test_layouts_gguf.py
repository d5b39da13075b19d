"""GGUF files give the logits of a `.pth` with the values they hold."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

from tests import layouts
from tests.checkpoints import Sizes, random_rwkv
from tests.layouts import from_pth, layout, logits, refusal

Tensors = dict[str, Tensor]
FINCH = Sizes(layers=5, width=64, head_size=32, ffn_width=96, vocab_size=64, ranks=(32, 32, 0, 0))
GOOSE = Sizes(layers=2, width=64, head_size=32, ffn_width=96, vocab_size=64, ranks=(32,) * 4)
EVERY = 2
Entry = Callable[[Any], object]


def entries(*more: Entry) -> list[Entry]:
    return [
        lambda writer: writer.add_wkv_head_size(32),
        lambda writer: writer.add_rescale_every_n_layers(EVERY),
        *more,
    ]


def is_matrix(name: str, tensor: Tensor) -> bool:
    return tensor.dim() == 2 and tensor.shape[-1] % 32 == 0 and "first" not in name


def write(path: Path, generation: str, kind: Kind, **how: bool) -> Tensors:
    """A GGUF file with matrices of `kind`; returns official tensors of the values it holds."""
    tensors = random_rwkv(generation, FINCH if generation == "6" else GOOSE)
    stored = layouts.ggml(tensors, f"rwkv{generation}", rescale=EVERY, **how)
    layouts.write_gguf(
        path,
        f"rwkv{generation}",
        stored,
        lambda name, tensor: kind if is_matrix(name, tensor) else Kind.F32,
        entries(),
    )
    return {name: _as_stored(name, t, kind, generation) for name, t in tensors.items()}


def _as_stored(name: str, tensor: Tensor, kind: Kind, generation: str) -> Tensor:
    """What is left of an official tensor in the orientation and scale it is stored in."""
    turn = any(name.endswith(part) for part in ("w1", "w2", "a1", "a2", "g1", "g2", "v1", "v2"))
    layer = int(name.split(".")[1]) if name.startswith("blocks.") else 0
    scaled = generation == "6" and name.endswith(("att.output.weight", "ffn.value.weight"))
    factor = 2 ** (layer // EVERY) if scaled else 1
    there = (tensor.T if turn and tensor.dim() == 2 else tensor).contiguous() / factor
    if is_matrix(name.replace("faaaa", "first"), there) and not name.endswith("r_k"):
        there = layouts.rounded(there, kind)
    return (there.T if turn and tensor.dim() == 2 else there).contiguous() * factor


@pytest.mark.parametrize("kind", [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0])
@pytest.mark.parametrize("generation", ["6", "7"])
def test_a_gguf_file_gives_the_logits_of_a_pth_with_the_values_it_holds(
    generation: str, kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    values = write(path, generation, kind)
    assert layout(path) == "llama.cpp"
    assert torch.equal(logits(path), from_pth(values, tmp_path))


@pytest.mark.parametrize("generation", ["6", "7"])
def test_a_gguf_file_in_eight_bits_stays_close_to_the_original(
    generation: str, tmp_path: Path
) -> None:
    write(tmp_path / "model.gguf", generation, Kind.Q8_0)
    original = from_pth(random_rwkv(generation, FINCH if generation == "6" else GOOSE), tmp_path)
    found = logits(tmp_path / "model.gguf")
    assert (found - original).abs().max() < 0.06 * original.abs().max()


def test_a_gguf_file_whose_shares_stand_apart_is_read_too(tmp_path: Path) -> None:
    values = write(tmp_path / "model.gguf", "6", Kind.F32, fused=False)
    assert torch.equal(logits(tmp_path / "model.gguf"), from_pth(values, tmp_path))


@pytest.mark.parametrize("architecture", ["llama", "rwkv6qwen2", "arwkv7"])
def test_gguf_files_of_other_architectures_are_refused_by_name(
    architecture: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.gguf"
    layouts.write_gguf(path, architecture, {"token_embd.weight": torch.zeros(4, 4)})
    assert f"of the architecture {architecture}, expected rwkv6 or rwkv7" in refusal(path)


def test_one_part_of_a_gguf_file_is_refused(tmp_path: Path) -> None:
    path, part = tmp_path / "model.gguf", {"token_embd.weight": torch.zeros(4, 4)}
    layouts.write_gguf(path, "rwkv7", part, entries=[lambda w: w.add_uint16("split.count", 2)])
    assert "merge them" in refusal(path)


@pytest.mark.parametrize("head_size", [0, 7])
def test_a_head_size_that_does_not_fit_is_refused(head_size: int, tmp_path: Path) -> None:
    stored = layouts.ggml(random_rwkv("7", GOOSE), "rwkv7")
    path = tmp_path / "model.gguf"
    entry: Entry = lambda writer: writer.add_wkv_head_size(head_size)  # noqa: E731
    layouts.write_gguf(path, "rwkv7", stored, entries=[entry])
    assert "time_mix_r_k" in refusal(path)
