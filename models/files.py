"""Checkpoint files to named tensors, memory-mapped, without running anything in them."""

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.base import CheckpointError

Tensors = Mapping[str, Tensor]


def read(path: Path) -> Tensors:
    """Tensors of a `.pth` or `.safetensors` file, lazily read where the format allows.

    Raises CheckpointError when the file is missing, damaged, of another kind, or holds
    anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    if path.suffix == ".safetensors":
        return _Safetensors(path)
    if path.suffix == ".pth":
        return _read_pth(path)
    raise CheckpointError(f"{path} is neither a .pth nor a .safetensors file")


def _read_pth(path: Path) -> Tensors:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and is refused, because loading it could run code"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged or not a PyTorch file: {error}") from error
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not named tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path} holds {name!r}, which is not a named tensor")
    return found


class _Safetensors(Mapping[str, Tensor]):
    """A safetensors file as a mapping; a tensor is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = cast(Any, safe_open(path, framework="pt", device="cpu"))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged or not safetensors: {error}") from error
        self._names: list[str] = list(self._file.keys())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self:
            raise KeyError(name)
        tensor: Tensor = self._file.get_tensor(name)
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
