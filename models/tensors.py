"""Named tensors that are read when they are asked for, and what can be known without reading."""

import ctypes
import functools
import mmap
import sys
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

OFFICIAL = "rwkv_generation"
"""The key of a safetensors file's metadata that only files with official names have."""

_DONT_NEED = 4  # MADV_DONTNEED on Linux

FORMATS = {torch.float32: "float32", torch.bfloat16: "bf16", torch.float16: "fp16"}


class LazyTensors(Mapping[str, Tensor]):
    """The tensors of a file, or a view of them under other names.

    Reading one raises CheckpointError when its part of the file cannot be used.
    """

    @property
    @abstractmethod
    def container(self) -> str:
        """PyTorch, safetensors or GGUF."""

    @property
    def packed(self) -> bool:
        """Whether a tensor must be computed from what is stored, so that reading it takes time."""
        return False

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself in words."""
        return {}

    def outline(self, name: str) -> Tensor:
        """Shape and number format: on the meta device where reading takes time."""
        return self[name]

    def sample(self, name: str, count: int) -> Tensor:
        """Up to about twice `count` values spread over a tensor, or over what it is packed in."""
        return spread(self[name], count)

    def forget(self, name: str) -> None:
        """What was read of a mapped file for this tensor need not stay in memory.

        It is read again when the tensor is used again.
        """

    @abstractmethod
    def number_format(self, name: str) -> str:
        """How the file stores a tensor: float32, bf16, fp16, or another word."""


def spread(tensor: Tensor, count: int) -> Tensor:
    """Values at even distances."""
    flat = tensor.flatten()
    return flat[:: len(flat) // count | 1]  # odd, so that it meets every column


def outlines(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All shapes and number formats, without reading values where that takes time."""
    if isinstance(tensors, LazyTensors):
        return {name: tensors.outline(name) for name in tensors}
    return dict(tensors)


def sample(tensors: Mapping[str, Tensor], name: str, count: int) -> Tensor:
    """See LazyTensors.sample."""
    if isinstance(tensors, LazyTensors):
        return tensors.sample(name, count)
    return spread(tensors[name], count)


def drop_pages(tensor: Tensor) -> None:
    """Of a tensor that is mapped from a file and was never written to: elsewhere, values are lost.

    Does nothing where the system has no such call.
    """
    storage = tensor.untyped_storage()
    page = mmap.PAGESIZE
    start = -(-tensor.data_ptr() // page) * page
    stop = min(tensor.data_ptr() + tensor.nbytes, storage.data_ptr() + storage.nbytes())
    advise = _madvise()
    if advise and stop // page * page > start:
        advise(ctypes.c_void_p(start), ctypes.c_size_t(stop // page * page - start), _DONT_NEED)


@functools.cache
def _madvise() -> Any:
    return getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" else None


def format_name(dtype: torch.dtype) -> str:
    """float32, bf16, fp16, or what torch calls it."""
    return FORMATS.get(dtype, str(dtype).removeprefix("torch."))
