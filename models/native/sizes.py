"""The memory that the native library will take, from the shapes of a checkpoint's tensors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.base import ModelSpec
from models.native.isa import OF_BF16, chosen_isa

_PASS = 256  # tokens of a pass, in whose rows the library computes
_ROWS, _INPUTS = 32, 64  # that matrices are padded to
# Bytes of a weight, with its part of a scale.
_WEIGHT = {
    torch.bfloat16: 2.0,
    torch.int8: 1 + 2 / 64,
    torch.qint8: 1 + 2 / 64,
    torch.quint4x2: 0.5 + 2 / 32,
}
_REST = 1 << 19  # bytes: low ranks, and what threads need
_ACTIVATION = {torch.int8: 2, torch.qint8: 1, torch.quint4x2: 1}  # bytes


def estimate(spec: ModelSpec, shapes: Mapping[str, Tensor], dtype: torch.dtype) -> int:
    """Bytes of packed weights and of what is computed in, within a tenth.

    shapes: tensors by their official names, whose values are not looked at. Raises BackendError as
    chosen_isa() does.
    """
    weights = sum(_packed(name, tensor, spec, dtype) for name, tensor in shapes.items())
    # Activations as matrices take them, in up to seven mixtures. For bf16 weights they are float32
    # where there are no instructions for products of bf16.
    activation = _ACTIVATION.get(dtype, 2 if chosen_isa() in OF_BF16 else 4)
    numbers = 4 * 7 * spec.width + activation * (9 * spec.width + spec.ffn_width)
    return int(weights + _PASS * numbers + _REST)


def _packed(name: str, tensor: Tensor, spec: ModelSpec, dtype: torch.dtype) -> float:
    if tensor.numel() <= spec.width:
        return 4 * spec.width
    if name == "emb.weight" or not name.endswith(".weight"):
        return 2 * tensor.numel()
    rows, inputs = (-(-n // to) * to for n, to in zip(tensor.shape, (_ROWS, _INPUTS), strict=True))
    is_head = name == "head.weight" and dtype == torch.quint4x2
    return rows * inputs * _WEIGHT[torch.int8 if is_head else dtype]
