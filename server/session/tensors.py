"""Tensors as the parts of a safetensors file, without a copy of any."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Parts = Sequence[bytes | memoryview]
"""Of one file, in order."""

DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U8": torch.uint8,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNED = 8


def bodies(tensors: Mapping[str, Tensor]) -> list[memoryview]:
    """The bytes of each, which is copied only where it is not contiguous."""
    flat = (tensor.contiguous().flatten() for tensor in tensors.values())
    return [tensor.view(torch.uint8).numpy().data for tensor in flat]


def head(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """What stands before the bodies; these follow in the order of `tensors`."""
    described: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for name, tensor in tensors.items():
        place = [at, at := at + tensor.nbytes]
        kind, shape = NAMES[tensor.dtype], list(tensor.shape)
        described[name] = {"dtype": kind, "shape": shape, "data_offsets": place}
    text = json.dumps(described).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return len(text).to_bytes(8, "little") + text


def length(parts: Parts) -> int:
    return sum(map(len, parts))
