"""From a checkpoint file to a model that is ready to run."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from models.backends import Backend
from models.base import CheckpointError, Model
from models.checkpoint import Checkpoint, find_checkpoint, open_checkpoint
from models.layers import Network
from models.native.choice import runs_natively
from models.native.rwkv7 import NativeRwkv7
from models.rwkv4 import Rwkv4
from models.rwkv5 import Rwkv5
from models.rwkv6 import Rwkv6
from models.rwkv7 import Rwkv7
from models.tensors import LazyTensors, outlines

__all__ = ["find_checkpoint", "load"]

Progress = Callable[[int, int], None]
"""Called with (bytes loaded so far, bytes in all), at least at the beginning and the end."""

_NETWORKS: dict[str, type[Network]] = {
    "4": Rwkv4,
    "5.0": Rwkv5,
    "5.1": Rwkv5,
    "5.2": Rwkv5,
    "6": Rwkv6,
    "7": Rwkv7,
}
_DTYPES = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
}
_SMALL_MODEL = 200_000_000  # parameters; below it float32 costs little and rounds least


def _no_progress(done: int, total: int) -> None:
    del done, total


def load(
    path: Path,
    backend: Backend,
    dtype: str = "auto",
    progress: Progress = _no_progress,
) -> Model:
    """Load a checkpoint of RWKV-4 to RWKV-7.

    path: a checkpoint file of any layout, the index of one in several files, or a folder with
    one. dtype: auto, float32, bf16, fp16 or int8; RWKV-7 in bf16 and int8 runs in the native
    library on the CPU. Raises CheckpointError with one sentence when it cannot be served,
    BackendError when the environment forces an instruction set that is not there.
    """
    found = open_checkpoint(path)
    backend.fit(found.spec.parameters)
    chosen = _dtype(dtype, backend, found.spec.parameters)
    try:
        if runs_natively(found.spec, backend.device, chosen):
            return _native(found, chosen, progress)
        tensors = _convert(found.tensors, backend, chosen, progress)
    except CheckpointError as error:
        raise CheckpointError(f"{found.path} cannot be served: {error}") from error
    return _NETWORKS[found.spec.generation](found.spec, tensors)


def _native(found: Checkpoint, dtype: torch.dtype, progress: Progress) -> Model:
    total = sum(outline.nbytes for outline in outlines(found.tensors).values())
    done = 0

    def packed(nbytes: int) -> None:
        nonlocal done
        done += nbytes
        progress(done, total)

    packed(0)
    return NativeRwkv7(found.spec, found.tensors, dtype, torch.get_num_threads(), packed)


def _dtype(name: str, backend: Backend, parameters: int) -> torch.dtype:
    if name != "auto":
        return _DTYPES[name]
    if backend.device.type == "cpu" and parameters < _SMALL_MODEL:
        return torch.float32
    return backend.default_dtype


def _convert(
    tensors: LazyTensors, backend: Backend, dtype: torch.dtype, progress: Progress
) -> dict[str, Tensor]:
    total = sum(outline.nbytes for outline in outlines(tensors).values())
    done = 0
    progress(done, total)
    converted = {}
    for name in tensors:
        tensor = tensors[name]
        # A copy, so that nothing refers to the mapped file: it may be replaced while we run.
        converted[name] = tensor.to(device=backend.device, dtype=dtype, copy=True).contiguous()
        done += tensor.nbytes
        progress(done, total)
    return converted
