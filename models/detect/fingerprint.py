"""A checkpoint's identity, from a part of its contents."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from models.tensors import LazyTensors, outlines, sample

_SAMPLES = 1024  # values of each tensor


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Names, shapes, formats and up to _SAMPLES values spread over each tensor.

    Sampling keeps the start of a 14 GB checkpoint from reading all of it twice; training
    moves every tensor everywhere, so two trained checkpoints differ in the samples.
    """
    digest = hashlib.sha256()
    for name, outline in sorted(outlines(tensors).items()):
        digest.update(f"{name} {tuple(outline.shape)} {outline.dtype}\n".encode())
        values = sample(tensors, name, _SAMPLES).contiguous()
        digest.update(values.view(torch.uint8).numpy().tobytes())
        if isinstance(tensors, LazyTensors):
            tensors.forget(name)
    return digest.hexdigest()
