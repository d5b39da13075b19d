"""Checkpoints of random weights in the official sizes of RWKV-7, for measuring speed.

Layers, width and low ranks are those of the World and G1 checkpoints (BlinkDL/RWKV-LM, RWKV-v7;
arXiv 2503.14456, appendix): head size 64, channel-mix four times the width, World's 65,536 rows.
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
from models.detect import rwkv7
from models.detect.shapes import Shapes

HEAD_SIZE = 64
VOCAB_SIZE = 65_536


@dataclass(frozen=True, slots=True)
class Size:
    """ranks: of the low-rank matrices of decay (w), rate (a), residual (v) and gate (g)."""

    layers: int
    width: int
    ranks: tuple[int, int, int, int]


SIZES = {
    "0.1b": Size(12, 768, (64, 64, 32, 128)),
    "0.4b": Size(24, 1024, (64, 64, 32, 128)),
    "1.5b": Size(24, 2048, (96, 96, 64, 256)),
    "2.9b": Size(32, 2560, (96, 96, 64, 320)),
    "7.2b": Size(32, 4096, (128, 128, 96, 480)),
}


def shapes(size: Size) -> Shapes:
    """The shape of every tensor by its official name; v0, v1, v2 of layer 0 are left out."""
    spec = ModelSpec(
        generation="7",
        layers=size.layers,
        width=size.width,
        heads=size.width // HEAD_SIZE,
        head_size=HEAD_SIZE,
        ffn_width=4 * size.width,
        vocab_size=VOCAB_SIZE,
        parameters=0,
        fingerprint="",
    )
    return rwkv7.shapes(dict(_low_ranks(size)), spec)


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


def _low_ranks(size: Size) -> Iterator[tuple[str, Tensor]]:
    """The tensors that the others' shapes are read from, without values."""
    for i in range(size.layers):
        for letter, rank in zip("wavg", size.ranks, strict=True):
            yield f"blocks.{i}.att.{letter}1", torch.empty(size.width, rank, device="meta")


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Of a magnitude that keeps activations near 1 through all layers."""
    tensor = torch.empty(shape, dtype=torch.bfloat16)
    if len(shape) == 2 and not name.endswith(("emb.weight", "r_k")):
        # Low ranks are stored [in, out], the other matrices [out, in].
        inputs = shape[1] if name.endswith(".weight") else shape[0]
        return tensor.normal_(0, inputs**-0.5, generator=generator)
    if name.endswith(("ln0.weight", "ln1.weight", "ln2.weight", "ln_x.weight", "ln_out.weight")):
        return tensor.fill_(1)
    if ".x_" in name or name.endswith(("k_k", "k_a")):
        return tensor.uniform_(generator=generator)
    return tensor.normal_(0, 1 if name == "emb.weight" else 0.1, generator=generator)
