"""The memory that the native library will take, from the shapes of a checkpoint's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.base import ModelSpec

_PASS = 256  # tokens of a pass, in whose rows the library computes
_ROWS, _INPUTS = 32, 64  # that matrices are padded to
# Bytes of a weight, with its part of a scale.
_WEIGHT = {
    torch.bfloat16: 2.0,
    torch.int8: 1 + 2 / 64,
    torch.qint8: 1 + 2 / 64,
    torch.quint4x2: 0.5 + 2 / 32,
}


def estimate(spec: ModelSpec, shapes: Mapping[str, Tensor], dtype: torch.dtype) -> int:
    """Bytes of packed weights and of what is computed in, within a tenth.

    shapes: tensors by their official names, whose values are not looked at.
    """
    weights = sum(_packed(name, tensor, spec, dtype) for name, tensor in shapes.items())
    floats = 7 * spec.width  # and activations as matrices take them, in up to seven mixtures
    activations = 9 * spec.width + spec.ffn_width + 1024  # low ranks, and what threads need
    activation = 1 if dtype in {torch.qint8, torch.quint4x2} else 2
    return int(weights + _PASS * (4 * floats + activation * activations))


def _packed(name: str, tensor: Tensor, spec: ModelSpec, dtype: torch.dtype) -> float:
    if tensor.numel() <= spec.width:
        return 4 * spec.width
    if name == "emb.weight" or not name.endswith(".weight"):
        return 2 * tensor.numel()
    rows, inputs = (-(-n // to) * to for n, to in zip(tensor.shape, (_ROWS, _INPUTS), strict=True))
    is_head = name == "head.weight" and dtype == torch.quint4x2
    return rows * inputs * _WEIGHT[torch.int8 if is_head else dtype]
