"""Whether a model is computed by the native library or by torch."""

import torch

from models.base import CheckpointError, ModelSpec
from models.native.library import available

SMALL_HEADS = (16, 32)
GROUP = 64  # channels that share a scale in int8
LARGEST_HEAD = 256
DTYPES = (torch.bfloat16, torch.int8)


def supports(spec: ModelSpec) -> bool:
    """Whether the library computes models of this shape."""
    size = spec.head_size
    fits = size in SMALL_HEADS or (size % GROUP == 0 and size <= LARGEST_HEAD)
    return spec.generation == "7" and fits


def runs_natively(spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> bool:
    """Raises CheckpointError for int8 where torch would have to compute it."""
    if dtype not in DTYPES:
        return False
    obstacle = _obstacle(spec, device)
    if obstacle and dtype == torch.int8:
        raise CheckpointError(f"int8 {obstacle}; take bf16 or another number format")
    return not obstacle


def _obstacle(spec: ModelSpec, device: torch.device) -> str:
    if device.type != "cpu":
        return f"is for the CPU, and the device is {device.type}"
    if not supports(spec):
        return (
            "is for RWKV-7 with heads of 16, 32, 64, 128, 192 or 256 channels, and this is "
            f"RWKV-{spec.generation} with heads of {spec.head_size}"
        )
    return "" if available() else "needs the native library, which cannot be used here"
