"""Checkpoints of random weights in the official sizes, for measuring speed and number formats.

A size is layers and width, the same in every generation; the rest is as in the World checkpoints:
heads of 64 channels, but for RWKV-4, 65,536 rows of embedding, a channel-mix of four
times the width in RWKV-4 and 7, of 3.5 times in 5 and 6, and low ranks (BlinkDL/RWKV-LM;
arXiv 2305.13048, 2404.05892 and 2503.14456, appendices). RWKV-5 is 5.2, which most of them are.
Speed does not depend on the values, but for channel-mix units that a trained model leaves at zero.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from models.base import CheckpointError, ModelSpec
from models.detect import EXPECTED
from models.detect.shapes import Shapes

HEAD_SIZE = 64
VOCAB_SIZE = 65_536
_NO_PRODUCTS = ("emb.weight", "r_k", "time_decay", "time_first", "time_faaaa")
# What RWKV-6 adds to its shares and decays, as training begins (BlinkDL/RWKV-LM,
# RWKV-v5/src/model.py): of full size they would magnify every rounding.
_BESIDE_A_BASE = ("time_maa_w2", "time_decay_w2")


@dataclass(frozen=True, slots=True)
class Size:
    """ranks: of the low-rank matrices. In RWKV-7 of decay (w), rate (a), residual (v) and gate (g);
    in RWKV-6 of the shares of the token before and of decay; otherwise there are none.
    """

    generation: str
    layers: int
    width: int
    ranks: tuple[int, ...] = ()


_SIZES = (
    ("0.1b", 12, 768, {"6": (32, 64), "7": (64, 64, 32, 128)}),
    ("0.4b", 24, 1024, {"6": (32, 64), "7": (64, 64, 32, 128)}),
    ("1.5b", 24, 2048, {"6": (32, 64), "7": (96, 96, 64, 256)}),
    ("2.9b", 32, 2560, {"6": (32, 64), "7": (96, 96, 64, 320)}),
    ("7.2b", 32, 4096, {"6": (64, 128), "7": (128, 128, 96, 480)}),
)

_OF_GENERATIONS = {
    f"rwkv{generation[0]}-{name}": Size(generation, layers, width, ranks.get(generation, ()))
    for name, layers, width, ranks in _SIZES
    for generation in ("4", "5.2", "6", "7")
}
SIZES = {name: _OF_GENERATIONS[f"rwkv7-{name}"] for name, *_ in _SIZES} | _OF_GENERATIONS
"""By name; those without a generation are of RWKV-7."""


def shapes(size: Size) -> Shapes:
    """The shape of every tensor by its official name, without v0, v1, v2 of RWKV-7's layer 0."""
    head_size = 1 if size.generation == "4" else HEAD_SIZE
    wide = size.generation in {"4", "7"}
    spec = ModelSpec(
        generation=size.generation,
        layers=size.layers,
        width=size.width,
        heads=size.width // head_size,
        head_size=head_size,
        ffn_width=4 * size.width if wide else int(3.5 * size.width) // 32 * 32,
        vocab_size=VOCAB_SIZE,
        parameters=0,
        fingerprint="",
    )
    found: dict[str, tuple[int, ...]] = EXPECTED[size.generation].shapes(
        dict(_outlines(size)), spec
    )
    return found


def parameters(size: Size) -> int:
    return sum(map(prod, shapes(size).values()))


def write(size: Size, path: Path, seed: int = 0) -> Path:
    """A bf16 safetensors file; takes as much memory as the file while it is made.

    Returns path. Raises CheckpointError when it cannot be written.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _random(name, shape, generator) for name, shape in shapes(size).items()}
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error
    return path


def _outlines(size: Size) -> Iterator[tuple[str, Tensor]]:
    """The tensors that the others' shapes are read from, without values."""
    for i in range(size.layers):
        att = f"blocks.{i}.att."
        if size.generation == "7":
            found = dict(zip((f"{letter}1" for letter in "wavg"), size.ranks, strict=True))
        elif size.generation == "6":
            mix, decay = size.ranks
            found = {"time_maa_w1": 5 * mix, "time_decay_w1": decay}
        else:
            found = {"time_faaaa": HEAD_SIZE}
        for name, columns in found.items():
            yield att + name, torch.empty(size.width, columns, device="meta")


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Of a magnitude that keeps activations near 1 through all layers."""
    tensor = torch.empty(shape, dtype=torch.bfloat16)
    if name.endswith(_BESIDE_A_BASE):
        return tensor.uniform_(-0.01, 0.01, generator=generator)
    if len(shape) > 1 and not name.endswith(_NO_PRODUCTS):
        # Low ranks are stored [in, out], the other matrices [out, in].
        inputs = shape[1] if name.endswith(".weight") else shape[-2]
        return tensor.normal_(0, inputs**-0.5, generator=generator)
    if name.endswith(("ln0.weight", "ln1.weight", "ln2.weight", "ln_x.weight", "ln_out.weight")):
        return tensor.fill_(1)
    if name.endswith("time_decay"):
        return tensor.uniform_(-6, 1, generator=generator)  # half-lives of 280 tokens down to none
    if any(part in name for part in (".x_", "k_k", "k_a", "time_mix_", "time_maa_")):
        return tensor.uniform_(generator=generator)
    return tensor.normal_(0, 1 if name == "emb.weight" else 0.1, generator=generator)
