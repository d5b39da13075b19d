"""The header of a session file, of which nothing is believed before it is checked."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from math import prod
from typing import Any, NoReturn

import torch

from models.base import ModelSpec
from server.session.tensors import DTYPES, NAMES
from server.session.transfer.form import FORMAT, PARTS, VERSION, About, TransferError

_NAME_LENGTH = 4096  # of what the metadata says
_SHIFTS = ("F32", "F16", "BF16")
_KINDS = {"wkv": "F32", "logits": "F32", "fed": "I32", "told": "U8"}


@dataclass(frozen=True, slots=True)
class Part:
    """A tensor of the file."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Header:
    """snapshots: how many; digest: of all that follows; tensors: not looked at yet."""

    about: About
    snapshots: int
    digest: str
    tensors: Mapping[str, Any]

    def parts(self, spec: ModelSpec) -> list[Part]:
        """What follows, in order. Raises TransferError where it does not fit this model."""
        if len(self.tensors) != len(PARTS) * self.snapshots:
            raise TransferError(f"its header does not have {len(PARTS)} tensors a snapshot")
        parts: list[Part] = []
        at = 0
        for number in range(self.snapshots):
            shifts = set[torch.dtype]()
            for name in PARTS:
                part = _part(self.tensors.get(f"{number}.{name}"), f"{number}.{name}", at)
                _check(part, name, spec)
                at += part.nbytes
                parts.append(part)
                if name.endswith("shift"):
                    shifts.add(part.dtype)
            if len(shifts) > 1:
                raise TransferError(f"the token shifts of snapshot {number} differ in format")
        return parts


def read_header(text: bytes) -> Header:
    """Raises TransferError for what no version, or another one, writes."""
    found = _json(text)
    return _header(found.pop("__metadata__", None), found)


def _header(given: Any, tensors: Mapping[str, Any]) -> Header:
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise TransferError("it is no session file")
    if given.get("version") != VERSION:
        raise TransferError(
            f"it has version {str(given.get('version'))[:20]!r}, and only {VERSION} is known"
        )
    names = {field.name for field in fields(About)}
    texts = {k: v for k, v in given.items() if isinstance(v, str) and len(v) <= _NAME_LENGTH}
    if texts.keys() != names | {"format", "version", "snapshots", "digest"} or given != texts:
        raise TransferError("its metadata are not what this version writes")
    count = texts["snapshots"]
    if not (count.isascii() and count.isdigit() and len(count) < 6 and int(count)):
        raise TransferError("it has no snapshots")
    if texts["pinned"] not in {"0", "1"}:
        raise TransferError("its metadata are not what this version writes")
    about = About(**{name: texts[name] for name in names})
    return Header(about, int(count), texts["digest"], tensors)


def _json(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise TransferError("its header is not JSON") from error
    if not isinstance(found, dict):
        raise TransferError("its header is no object")
    return found


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError("a name stands twice")
        found[name] = value
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)


def _part(given: Any, name: str, at: int) -> Part:
    """A tensor that has to begin `at` bytes behind the header."""
    if not isinstance(given, dict) or given.keys() != {"dtype", "shape", "data_offsets"}:
        raise TransferError(f"its header has no tensor {name}, or not as it has to be")
    dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise TransferError(f"the tensor {name} has no known number format")
    if not (_counts(shape) and _counts(offsets)):
        raise TransferError(f"the shape or place of the tensor {name} is none")
    part = Part(DTYPES[dtype], tuple(shape))
    if offsets != [at, at + part.nbytes]:
        raise TransferError(f"the tensor {name} does not lie where it has to")
    return part


def _counts(given: Any) -> bool:
    """A short list of numbers that something can have so many of."""
    return (
        isinstance(given, list)
        and 0 < len(given) <= 5
        and all(type(count) is int and 0 <= count < 2**40 for count in given)
    )


def _check(part: Part, name: str, spec: ModelSpec) -> None:
    kind = NAMES[part.dtype]
    known = kind in _SHIFTS if name.endswith("shift") else kind == _KINDS[name]
    expected = _shape(name, spec)
    fits = part.shape == expected if expected else len(part.shape) == 1 and part.shape[0] > 0
    if not known or not fits:
        raise TransferError(f"a tensor {name} has {kind} {list(part.shape)}, which does not fit")


def _shape(name: str, spec: ModelSpec) -> tuple[int, ...] | None:
    """None where it is a list of any length."""
    match name:
        case "wkv" if spec.generation == "4":
            return spec.layers, 1, 3, spec.width
        case "wkv":
            return spec.layers, 1, spec.heads, spec.head_size, spec.head_size
        case "att_shift" | "ffn_shift":
            return spec.layers, 1, spec.width
        case "logits":
            return (spec.vocab_size,)
    return None
