"""From a checkpoint file to a model that is ready to run."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from models import files
from models.backends import Backend
from models.base import CheckpointError, Model
from models.detect import detect
from models.layers import Network
from models.rwkv4 import Rwkv4
from models.rwkv5 import Rwkv5
from models.rwkv6 import Rwkv6
from models.rwkv7 import Rwkv7

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
_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
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

    path: a `.pth` or `.safetensors` file, or a folder with one of them. dtype: auto, float32,
    bf16 or fp16. Raises CheckpointError with one sentence when the file cannot be served.
    """
    file = find_checkpoint(path)
    tensors = files.read(file)
    try:
        spec = detect(tensors)
        chosen = _dtype(dtype, backend, spec.parameters)
        return _NETWORKS[spec.generation](spec, _convert(tensors, backend, chosen, progress))
    except CheckpointError as error:
        raise CheckpointError(f"{file} cannot be served: {error}") from error


def find_checkpoint(path: Path) -> Path:
    """The checkpoint file that `path` names, itself or as the only one in a folder."""
    if not path.is_dir():
        return path
    found = sorted(p for p in path.iterdir() if p.suffix in {".pth", ".safetensors"})
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise CheckpointError(f"{path} should hold one .pth or .safetensors file; found {names}")
    return found[0]


def _dtype(name: str, backend: Backend, parameters: int) -> torch.dtype:
    if name != "auto":
        return _DTYPES[name]
    if backend.device.type == "cpu" and parameters < _SMALL_MODEL:
        return torch.float32
    return backend.default_dtype


def _convert(
    tensors: Mapping[str, Tensor], backend: Backend, dtype: torch.dtype, progress: Progress
) -> dict[str, Tensor]:
    total = sum(tensors[name].nbytes for name in tensors)
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
