"""Whether a model is computed by the native library or by torch."""

import torch

from models.base import CheckpointError, ModelSpec
from models.native.library import available

CHANNELS = 16  # of a head, or of a model without heads: what the library takes at once
FORMATS = {
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.qint8: "w8a8",
    torch.quint4x2: "int4",
}
"""The library's names; of qint8 and quint4x2 there are no tensors, they only name a format."""


def supports(spec: ModelSpec) -> bool:
    """Whether the library computes models of this shape."""
    return _channels(spec) % CHANNELS == 0


def _channels(spec: ModelSpec) -> int:
    return spec.width if spec.generation == "4" else spec.head_size


def runs_natively(spec: ModelSpec, device: torch.device, dtype: torch.dtype) -> bool:
    """Raises CheckpointError for a format of integers where torch would have to compute it."""
    if dtype not in FORMATS:
        return False
    obstacle = _obstacle(spec, device)
    if obstacle and dtype != torch.bfloat16:
        raise CheckpointError(f"{FORMATS[dtype]} {obstacle}; take bf16 or another number format")
    return not obstacle


def _obstacle(spec: ModelSpec, device: torch.device) -> str:
    if device.type != "cpu":
        return f"is for the CPU, and the device is {device.type}"
    if not supports(spec):
        return (
            f"is for {'widths' if spec.generation == '4' else 'heads'} that are multiples of "
            f"{CHANNELS} channels, and this RWKV-{spec.generation} has {_channels(spec)}"
        )
    return "" if available() else "needs the native library, which cannot be used here"
