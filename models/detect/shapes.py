"""Shapes that checkpoints should have, and what is said when they have others."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from models.base import CheckpointError, ModelSpec

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

_FORMATS = {torch.float64, torch.float32, torch.bfloat16, torch.float16}


def layers(tensors: Mapping[str, Tensor]) -> int:
    found = {int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d{1,6})\.", name))}
    if found != set(range(len(found))):
        raise CheckpointError(f"blocks are missing: found numbers {sorted(found)}")
    return len(found)


def present(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise CheckpointError(f"the tensor {name} is missing")
    return tensors[name]


def matrix(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    shape = tuple(present(tensors, name).shape)
    if len(shape) != 2:
        raise CheckpointError(f"{name} has shape {list(shape)}, expected two dimensions")
    return shape[0], shape[1]


def heads_of(tensors: Mapping[str, Tensor], name: str, width: int) -> tuple[int, int]:
    """How many heads of what size a tensor has that holds one value for each of their channels."""
    count, size = matrix(tensors, name)
    if count * size != width:
        raise CheckpointError(
            f"{name} has {count} heads of {size}, which is not the embedding width {width}"
        )
    return count, size


def check(tensors: Mapping[str, Tensor], expected: Shapes) -> None:
    """Raises CheckpointError for the first tensor that is missing, misshapen or no floats."""
    for name, shape in expected.items():
        tensor = present(tensors, name)
        if tensor.dtype not in _FORMATS:
            raise CheckpointError(f"{name} holds {tensor.dtype}, expected floating point numbers")
        # Vectors may be stored as [1,1,C]; a model takes matrices only as they are.
        flat = len(shape) == 1 and sorted(tensor.shape)[:-1] == [1] * (tensor.dim() - 1)
        if (tuple(tensor.flatten().shape) if flat else tuple(tensor.shape)) != shape:
            raise CheckpointError(f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")


def common(spec: ModelSpec) -> Shapes:
    """What every generation has: embedding, head, and the norms around the blocks' parts."""
    names = ["blocks.0.ln0", "ln_out"]
    names += [f"blocks.{i}.{norm}" for i in range(spec.layers) for norm in ("ln1", "ln2")]
    table = (spec.vocab_size, spec.width)
    norms = {name: shape for norm in names for name, shape in vectors(spec, *pair(norm)).items()}
    return {"emb.weight": table, "head.weight": table} | norms


def pair(norm: str) -> tuple[str, str]:
    """The two tensors of a norm."""
    return f"{norm}.weight", f"{norm}.bias"


def vectors(spec: ModelSpec, *names: str) -> Shapes:
    return dict.fromkeys(names, (spec.width,))


def squares(spec: ModelSpec, prefix: str, *names: str) -> Shapes:
    """Linear layers from the width to the width."""
    return dict.fromkeys((f"{prefix}{name}.weight" for name in names), (spec.width, spec.width))


def channel_mix(spec: ModelSpec, prefix: str) -> Shapes:
    """Key and value below `blocks.i.ffn.`."""
    return {
        f"{prefix}key.weight": (spec.ffn_width, spec.width),
        f"{prefix}value.weight": (spec.width, spec.ffn_width),
    }
