"""Checkpoint files to named tensors, memory-mapped, without running anything in them."""

import pickle
import re
import zipfile
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
        size = _size_of_weights(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} holds more than tensors and is refused, because loading it could run code"
        ) from error
    except Exception as error:  # a damaged index can raise nearly anything
        reason = _first_sentence(error)
        raise CheckpointError(f"{path} is damaged or not a PyTorch file: {reason}") from error
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{path} holds a {type(found).__name__}, not named tensors")
    for name, value in found.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise CheckpointError(f"{path} holds {name!r}, which is not a named tensor")
    storages = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in found.values()
    }
    if sum(storages.values()) > size:
        raise CheckpointError(f"{path} is damaged: its tensors are larger than its weights")
    return found


def _size_of_weights(path: Path) -> int:
    """Bytes of all weights in the archive, which must not be compressed: they are mapped."""
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise ValueError("it is compressed")
    return sum(record.file_size for record in records if "/data/" in record.filename)


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
    )


def _first_sentence(error: Exception) -> str:
    return re.split(r"\n|\. ", str(error))[0]


class _Safetensors(Mapping[str, Tensor]):
    """A safetensors file as a mapping; a tensor is read when it is asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = cast(Any, safe_open(path, framework="pt", device="cpu"))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged or not safetensors: {error}") from error
        self._path = path
        self._names: list[str] = list(self._file.keys())
        if not self._names:
            raise CheckpointError(f"{path} holds nothing, not named tensors")

    def __getitem__(self, name: str) -> Tensor:
        if name not in self:
            raise KeyError(name)
        try:
            tensor: Tensor = self._file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{self._path} holds an unusable {name}: {error}") from error
        return tensor

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
