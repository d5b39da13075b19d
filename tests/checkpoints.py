"""Tiny random RWKV checkpoints, written the way the reference author's files are."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sizes:
    layers: int = 3
    width: int = 128
    head_size: int = 64
    ffn_width: int = 512
    vocab_size: int = 320
    ranks: tuple[int, int, int, int] = (32, 32, 16, 32)  # w, a, v, g
    first_layer_residual: bool = True
    kv_scale: float = 1.0  # small k and v make the eps of ln_x matter


def random_rwkv7(sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Tensor]:
    """Official names and shapes, float32, of a magnitude that keeps every part at work."""
    make = _Maker(seed)
    width, heads = sizes.width, sizes.width // sizes.head_size
    tensors = {
        "emb.weight": make.normal(sizes.vocab_size, width),
        "head.weight": make.normal(sizes.vocab_size, width, scale=width**-0.5),
        **make.norm("blocks.0.ln0", width),
        **make.norm("ln_out", width),
    }
    for i in range(sizes.layers):
        block = f"blocks.{i}."
        tensors |= make.norm(block + "ln1", width) | make.norm(block + "ln2", width)
        tensors |= {f"{block}att.{k}": v for k, v in _time_mix(make, sizes, heads, i).items()}
        tensors[block + "ffn.x_k"] = make.uniform(1, 1, width)
        tensors[block + "ffn.key.weight"] = make.linear(sizes.ffn_width, width)
        tensors[block + "ffn.value.weight"] = make.linear(width, sizes.ffn_width)
    return tensors


def _time_mix(make: "_Maker", sizes: Sizes, heads: int, layer: int) -> dict[str, Tensor]:
    width = sizes.width
    found = {f"x_{letter}": make.uniform(1, 1, width) for letter in "rwkvag"}
    for letter, rank in zip("wavg", sizes.ranks, strict=True):
        if letter == "v" and layer == 0 and not sizes.first_layer_residual:
            continue
        if letter != "g":
            found[letter + "0"] = make.normal(1, 1, width)
        found[letter + "1"] = make.normal(width, rank, scale=width**-0.5)
        found[letter + "2"] = make.normal(rank, width, scale=rank**-0.5)
    found |= {"k_k": make.uniform(1, 1, width) + 0.5, "k_a": make.uniform(1, 1, width) + 0.5}
    found["r_k"] = make.normal(heads, sizes.head_size, scale=0.1)
    for name in ("receptance", "key", "value", "output"):
        scale = sizes.kv_scale if name in ("key", "value") else 1.0
        found[name + ".weight"] = make.linear(width, width) * scale
    return found | make.norm("ln_x", width)


class _Maker:
    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=self._generator) * scale

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._generator)

    def linear(self, out: int, width: int) -> Tensor:
        return self.normal(out, width, scale=width**-0.5)

    def norm(self, name: str, width: int) -> dict[str, Tensor]:
        return {
            f"{name}.weight": 1 + 0.1 * self.normal(width),
            f"{name}.bias": 0.1 * self.normal(width),
        }


def save(tensors: dict[str, Tensor], path: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write a `.pth` (or `.safetensors`, by suffix) file; returns its path."""
    converted = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(converted, path)
    else:
        torch.save(converted, path)
    return path
