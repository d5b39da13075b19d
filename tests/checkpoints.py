"""Tiny random RWKV checkpoints, written the way the reference author's files are."""

from collections.abc import Callable
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
    ranks: tuple[int, int, int, int] = (32, 32, 16, 32)  # RWKV-7: w, a, v, g; RWKV-6: w, mix
    first_layer_residual: bool = True
    bonus: str = "time_faaaa"  # RWKV-5: or "time_first", its logarithm
    kv_scale: float = 1.0  # small k and v make the eps of ln_x matter

    @property
    def heads(self) -> int:
        return self.width // self.head_size


def random_rwkv4(sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Tensor]:
    """Official names and shapes, float32, of a magnitude that keeps every part at work."""
    make = _Maker(seed)

    def time_mix(layer: int) -> dict[str, Tensor]:
        del layer
        decay, first = make.normal(sizes.width, scale=2.0) - 1, make.normal(sizes.width)
        shares = {f"time_mix_{letter}": make.uniform(1, 1, sizes.width) for letter in "kvr"}
        return {"time_decay": decay, "time_first": first} | shares | make.squares(sizes)

    return _checkpoint(make, sizes, time_mix, ("time_mix_k", "time_mix_r"))


def random_rwkv5(version: str, sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Tensor]:
    """version: 5.0, 5.1 or 5.2; otherwise as random_rwkv4."""
    make = _Maker(seed)
    per_head = (sizes.heads, sizes.head_size) if version == "5.2" else (sizes.heads,)
    gate, letters = ((), "kvr") if version == "5.0" else (("gate",), "kvrg")

    def time_mix(layer: int) -> dict[str, Tensor]:
        del layer
        found = {"time_decay": make.normal(*per_head, scale=2.0) - 1}
        found[sizes.bonus] = make.normal(*per_head)
        found |= {f"time_mix_{letter}": make.uniform(1, 1, sizes.width) for letter in letters}
        return found | make.squares(sizes, *gate) | make.norm("ln_x", sizes.width)

    return _checkpoint(make, sizes, time_mix, ("time_mix_k", "time_mix_r"))


def random_rwkv6(sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Tensor]:
    """As random_rwkv4."""
    make, width, (rank, mix_rank, *_) = _Maker(seed), sizes.width, sizes.ranks

    def time_mix(layer: int) -> dict[str, Tensor]:
        del layer
        found = {f"time_maa_{letter}": make.uniform(1, 1, width) for letter in "xwkvrg"}
        found["time_maa_w1"] = make.normal(width, 5 * mix_rank, scale=width**-0.5)
        found["time_maa_w2"] = make.normal(5, mix_rank, width, scale=mix_rank**-0.5)
        found["time_decay"] = make.normal(1, 1, width, scale=2.0) - 1
        found["time_decay_w1"] = make.normal(width, rank, scale=width**-0.5)
        found["time_decay_w2"] = make.normal(rank, width, scale=rank**-0.5)
        found["time_faaaa"] = make.normal(sizes.heads, sizes.head_size)
        return found | make.squares(sizes, "gate") | make.norm("ln_x", width)

    return _checkpoint(make, sizes, time_mix, ("time_maa_k", "time_maa_r"))


def random_rwkv7(sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Tensor]:
    """As random_rwkv4."""
    make, width = _Maker(seed), sizes.width

    def time_mix(layer: int) -> dict[str, Tensor]:
        found = {f"x_{letter}": make.uniform(1, 1, width) for letter in "rwkvag"}
        for letter, rank in zip("wavg", sizes.ranks, strict=True):
            if letter == "v" and layer == 0 and not sizes.first_layer_residual:
                continue
            if letter != "g":
                found[letter + "0"] = make.normal(1, 1, width)
            found[letter + "1"] = make.normal(width, rank, scale=width**-0.5)
            found[letter + "2"] = make.normal(rank, width, scale=rank**-0.5)
        found |= {"k_k": make.uniform(1, 1, width) + 0.5, "k_a": make.uniform(1, 1, width) + 0.5}
        found["r_k"] = make.normal(sizes.heads, sizes.head_size, scale=0.1)
        return found | make.squares(sizes) | make.norm("ln_x", width)

    return _checkpoint(make, sizes, time_mix, ("x_k",))


def random_rwkv(generation: str, sizes: Sizes = Sizes(), seed: int = 0) -> dict[str, Tensor]:
    """generation: 4, 5.0, 5.1, 5.2, 6 or 7."""
    if generation.startswith("5"):
        return random_rwkv5(generation, sizes, seed)
    return {"4": random_rwkv4, "6": random_rwkv6, "7": random_rwkv7}[generation](sizes, seed)


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

    def squares(self, sizes: Sizes, *more: str) -> dict[str, Tensor]:
        """The time-mix matrices that every generation has, and `more`."""
        found = {}
        for name in ("receptance", "key", "value", "output", *more):
            scale = sizes.kv_scale if name in ("key", "value") else 1.0
            found[name + ".weight"] = self.linear(sizes.width, sizes.width) * scale
        return found


def _checkpoint(
    make: _Maker,
    sizes: Sizes,
    time_mix: Callable[[int], dict[str, Tensor]],
    channel_shares: tuple[str, ...],
) -> dict[str, Tensor]:
    width = sizes.width
    tensors = {
        "emb.weight": make.normal(sizes.vocab_size, width),
        "head.weight": make.normal(sizes.vocab_size, width, scale=width**-0.5),
        **make.norm("blocks.0.ln0", width),
        **make.norm("ln_out", width),
    }
    for i in range(sizes.layers):
        att, ffn = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        tensors |= make.norm(f"blocks.{i}.ln1", width) | make.norm(f"blocks.{i}.ln2", width)
        tensors |= {att + name: tensor for name, tensor in time_mix(i).items()}
        tensors |= {ffn + name: make.uniform(1, 1, width) for name in channel_shares}
        tensors[ffn + "key.weight"] = make.linear(sizes.ffn_width, width)
        tensors[ffn + "value.weight"] = make.linear(width, sizes.ffn_width)
        if len(channel_shares) == 2:  # the second one is the gate's
            tensors[ffn + "receptance.weight"] = make.linear(width, width)
    return tensors


def save(tensors: dict[str, Tensor], path: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write a `.pth` (or `.safetensors`, by suffix) file; returns its path."""
    converted = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(converted, path)
    else:
        torch.save(converted, path)
    return path
