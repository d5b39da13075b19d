"""Tensors as the parts of a safetensors file, without a copy of any."""

import ctypes
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
    return [_body(tensor) for tensor in tensors.values()]


def _body(tensor: Tensor) -> memoryview:
    """Where it lies, and without a view that torch would make and free; see docs/decisions/0067."""
    if not tensor.nbytes:
        return memoryview(b"")
    whole = tensor if tensor.is_contiguous() else tensor.contiguous()
    lent = (ctypes.c_ubyte * whole.nbytes).from_address(whole.data_ptr())
    lent.lender = whole  # type: ignore[attr-defined]  # and lives as long as what is lent
    return memoryview(lent).cast("B")


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
