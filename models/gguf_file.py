"""GGUF files: the header is walked here, numbers are unpacked by the `gguf` package.

Layout (ggml-org/ggml, docs/gguf.md), little-endian: "GGUF", version u32, tensor count u64, entry
count u64; entries of key, type and value; tensors of name, dimensions (innermost first), type and
offset; then, aligned, the data. Every length is checked against the end of the file, because a
reader that believes them can be kept busy for ever by a few bytes.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.base import CheckpointError
from models.tensors import LazyTensors, spread

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_WORDS = {"F32": "float32", "F16": "fp16", "BF16": "bf16"}

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Entry:
    """One tensor: its shape, its type as a gguf.GGMLQuantizationType, and where its bytes lie."""

    shape: tuple[int, ...]
    kind: Any
    start: int
    size: int


class GgufTensors(LazyTensors):
    """A GGUF file; what is quantised there is read as float32."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._data: Bytes = np.memmap(path, mode="r", dtype=np.uint8)
            header = _Header(self._data)
            self._metadata = header.metadata()
            self._entries = header.tensors(int(self._metadata.get("general.alignment", "32")))
        except (ValueError, OSError, struct.error) as error:
            raise CheckpointError(f"{path} is damaged or not GGUF: {error}") from error

    @property
    def container(self) -> str:
        return "GGUF"

    @property
    def packed(self) -> bool:
        return True

    @property
    def metadata(self) -> Mapping[str, str]:
        """All entries but the lists."""
        return self._metadata

    def number_format(self, name: str) -> str:
        kind: str = self._entries[name].kind.name
        return _WORDS.get(kind, kind)

    def outline(self, name: str) -> Tensor:
        entry = self._entries[name]
        dtype = _PLAIN.get(entry.kind.name, torch.float32)
        return torch.empty(entry.shape, dtype=dtype, device="meta")

    def sample(self, name: str, count: int) -> Tensor:
        return spread(torch.from_numpy(self._bytes(name).copy()), count)

    def __getitem__(self, name: str) -> Tensor:
        entry = self._entries[name]
        if entry.kind.name in _PLAIN:
            plain = torch.from_numpy(self._bytes(name).copy()).view(_PLAIN[entry.kind.name])
            return plain.view(entry.shape)
        values = _unpack(self._bytes(name), entry.kind, entry.shape[-1])
        return torch.from_numpy(values).view(entry.shape)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _bytes(self, name: str) -> Bytes:
        entry = self._entries[name]
        return self._data[entry.start : entry.start + entry.size]


def _unpack(packed: Bytes, kind: Any, width: int) -> NDArray[np.float32]:
    """Rows of `width` values. Raises NotImplementedError for a type the package cannot unpack."""
    from gguf import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    block, size = GGML_QUANT_SIZES[kind]
    return dequantize(packed.reshape(-1, width // block * size), kind)


class _Header:
    """A walk over the header; raises ValueError or struct.error where it leaves the file."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        self._at = 0
        if self._bytes(4) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self._number("I")
        if version not in _VERSIONS:
            raise ValueError(f"it has version {version}, expected 2 or 3 and little-endian")
        self._tensor_count, self._entry_count = self._number("Q"), self._number("Q")

    def metadata(self) -> dict[str, str]:
        found = {}
        for _ in range(self._entry_count):
            key, value = self._string(), self._value(self._number("I"))
            if value is not None:
                found[key] = value
        return found

    def tensors(self, alignment: int) -> dict[str, _Entry]:
        """Call it after metadata()."""
        if alignment < 1 or alignment & (alignment - 1):
            raise ValueError(f"its alignment is {alignment}")
        described = [self._tensor() for _ in range(self._tensor_count)]
        first = -(-self._at // alignment) * alignment
        found = {}
        for name, shape, kind, offset in described:
            entry = _Entry(shape, kind, first + offset, _size(name, shape, kind))
            if entry.start + entry.size > len(self._data):
                raise ValueError(f"{name} reaches beyond its end")
            found[name] = entry
        if not found or len(found) < len(described):
            raise ValueError("it has no tensors" if not found else "a tensor is named twice")
        return found

    def _tensor(self) -> tuple[str, tuple[int, ...], Any, int]:
        from gguf import GGMLQuantizationType

        name = self._string()
        if not name.isprintable():
            raise ValueError(f"a tensor is called {name!r}")
        count = self._number("I")
        if count > _MAX_DIMENSIONS:
            raise ValueError(f"a tensor has {count} dimensions")
        innermost_first = [self._number("Q") for _ in range(count)]
        kind = GGMLQuantizationType(self._number("I"))
        return name, tuple(reversed(innermost_first)), kind, self._number("Q")

    def _value(self, kind: int) -> str | None:
        """As text; None for a list, which is skipped."""
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            self._skip_list(self._number("I"), self._number("Q"))
            return None
        return str(self._number(_scalar(kind)))

    def _skip_list(self, kind: int, count: int) -> None:
        if kind != _STRING:
            self._bytes(struct.calcsize(_scalar(kind)) * count)
            return
        for _ in range(count):
            self._bytes(self._number("Q"))

    def _string(self) -> str:
        return self._bytes(self._number("Q")).decode("utf-8")

    def _number(self, code: str) -> Any:
        return struct.unpack("<" + code, self._bytes(struct.calcsize("<" + code)))[0]

    def _bytes(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise ValueError("its header reaches beyond its end")
        found = self._data[self._at : end].tobytes()
        self._at = end
        return found


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise ValueError(f"an entry has the type {kind}")
    return _SCALARS[kind]


def _size(name: str, shape: tuple[int, ...], kind: Any) -> int:
    """Bytes of a tensor. Raises ValueError for a type that cannot be unpacked."""
    from gguf import GGML_QUANT_SIZES

    block, size = GGML_QUANT_SIZES[kind]
    if not shape or 0 in shape or shape[-1] % block:
        raise ValueError(f"{name} has shape {list(shape)}, which its type {kind.name} cannot have")
    if kind.name not in _PLAIN:
        try:
            _unpack(np.zeros(size, np.uint8), kind, block)
        except NotImplementedError as error:
            raise ValueError(f"{name} has the type {kind.name}, which is not known here") from error
    return prod(shape) // block * size
