"""Checkpoint files to named tensors, memory-mapped, without running anything in them.

A suffix says how a file is to be read, and reading it so says whether it is that; which model its
tensors make up, and by whose names, is for others to find out.
"""

import pickle
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from models.base import CheckpointError
from models.gguf_file import GgufTensors
from models.tensors import LazyTensors, drop_pages, format_name


def read(path: Path) -> LazyTensors:
    """Tensors of a single file, under the names it gives them, read when they are asked for.

    Raises CheckpointError when the file is missing, damaged, of another kind, or holds
    anything but tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint at {path}")
    if path.suffix not in READERS:
        known = ", ".join(READERS)
        raise CheckpointError(f"{path} is not called what a checkpoint is: one of {known}")
    return READERS[path.suffix](path)


def _read_pth(path: Path) -> Mapping[str, Tensor]:
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


class PytorchTensors(LazyTensors):
    """A file that torch.save wrote; its tensors are mapped into memory."""

    def __init__(self, path: Path) -> None:
        self._tensors = _read_pth(path)

    @property
    def container(self) -> str:
        return "PyTorch"

    def forget(self, name: str) -> None:
        drop_pages(self[name])

    def number_format(self, name: str) -> str:
        return format_name(self[name].dtype)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


class SafetensorsTensors(LazyTensors):
    """A safetensors file; a tensor is mapped into memory when it is asked for."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = cast(Any, safe_open(path, framework="pt", device="cpu"))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged or not safetensors: {error}") from error
        self._path = path
        self._names: dict[str, None] = dict.fromkeys(self._file.keys())
        if not self._names:
            raise CheckpointError(f"{path} holds nothing, not named tensors")

    @property
    def container(self) -> str:
        return "safetensors"

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._file.metadata() or {}

    def forget(self, name: str) -> None:
        drop_pages(self[name])

    def number_format(self, name: str) -> str:
        return format_name(self[name].dtype)

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


READERS: dict[str, Callable[[Path], LazyTensors]] = {
    ".pth": PytorchTensors,
    ".bin": PytorchTensors,
    ".safetensors": SafetensorsTensors,
    ".st": SafetensorsTensors,
    ".gguf": GgufTensors,
}
