"""A session as one file that another server can read: safetensors, in a fixed order.

Metadata: `format` and `version`, what made the states (fingerprint, and names for people), how
many snapshots there are, and a digest of all that follows the header. For snapshot i the tensors
`i.wkv`, `i.logits`, `i.att_shift`, `i.ffn_shift`, `i.fed` and `i.told`, in this order and without
gaps. Nothing names an owner, and no key is in it: whoever reads it names the states anew.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import prod
from typing import Any, NoReturn

import torch
from torch import Tensor

from models.base import ModelSpec, State
from server.engine.snapshot import FedIds, Lines, Snapshot

_FORMAT, _VERSION = "rwkv-server session", "1"
_PARTS = ("wkv", "logits", "att_shift", "ffn_shift", "fed", "told")
_DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U8": torch.uint8,
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_SHIFTS = ("F32", "F16", "BF16")
HEADER_BYTES = 2**22
_NAME_LENGTH = 4096  # of what the metadata says
_ALIGNED = 8
_KINDS = {"wkv": "F32", "logits": "F32", "fed": "I32", "told": "U8"}


class TransferError(ValueError):
    """A file that is no session this version can read; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class About:
    """What a file says of itself; model, tokenizer and template are names for people."""

    fingerprint: str
    model: str
    tokenizer: str
    template: str
    pinned: str  # 0 or 1


def write(about: About, snapshots: Sequence[Snapshot]) -> list[bytes | memoryview]:
    """The file in parts. Copies no state."""
    header: dict[str, Any] = {}
    parts: list[memoryview] = []
    digest, at = hashlib.blake2b(digest_size=16), 0
    for number, snapshot in enumerate(snapshots):
        for name, tensor in _tensors(snapshot).items():
            data = tensor.contiguous().flatten().view(torch.uint8).numpy().data
            offsets = [at, at := at + len(data)]
            shape = list(tensor.shape)
            kind = _NAMES[tensor.dtype]
            header[f"{number}.{name}"] = {"dtype": kind, "shape": shape, "data_offsets": offsets}
            digest.update(data)
            parts.append(data)
    what = {"format": _FORMAT, "version": _VERSION, **asdict(about)}
    what |= {"snapshots": str(len(snapshots)), "digest": digest.hexdigest()}
    text = json.dumps({"__metadata__": what, **header}).encode()
    text += b" " * (-len(text) % _ALIGNED)
    return [len(text).to_bytes(8, "little") + text, *parts]


def _tensors(snapshot: Snapshot) -> Mapping[str, Tensor]:
    state = snapshot.state
    told = snapshot.told.to_bytes() + b" " * (-snapshot.told.nbytes % _ALIGNED)
    fed = snapshot.fed.to_tensor()
    said = torch.frombuffer(bytearray(told), dtype=torch.uint8)
    tensors = (state.wkv, snapshot.logits, state.att_shift, state.ffn_shift, fed, said)
    return dict(zip(_PARTS, tensors, strict=True))


@dataclass(frozen=True, slots=True)
class _Part:
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


class Reader:
    """Takes a file piece by piece, and refuses it as soon as it can be told to be none.

    about is there once the header is; expect() then says which model it has to fit, and has to be
    called before anything more is fed. Nothing of a file is believed: a header is short, and has
    every tensor of the model's shapes, in order and without gaps. Raises TransferError.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._head = bytearray()
        self._header: dict[str, Any] | None = None
        self._parts: list[_Part] = []
        self._buffers: list[bytearray] = []
        self._digest = ""
        self.about: About | None = None

    def feed(self, data: bytes) -> None:
        if self._header is not None:
            return self._fill(memoryview(data))
        self._head += data
        length = int.from_bytes(self._head[:8], "little")
        if len(self._head) >= 8 and not 0 < length <= HEADER_BYTES:
            raise TransferError("it is no session file: the length of its header is not possible")
        if len(self._head) >= 8 + length and len(self._head) > 8:
            self._header = _json(bytes(self._head[8 : 8 + length]))
            self.about = self._read_about(self._header.pop("__metadata__", None))
            self._head = self._head[8 + length :]

    def expect(self, spec: ModelSpec) -> None:
        """Raises TransferError for a header that does not fit this model."""
        header = self._header or {}
        if len(header) != len(_PARTS) * self._count:
            raise TransferError(f"its header does not have {len(_PARTS)} tensors a snapshot")
        at = 0
        for number in range(self._count):
            shifts = set[torch.dtype]()
            for name in _PARTS:
                part = _part(header.get(f"{number}.{name}"), f"{number}.{name}", at)
                _check(part, name, spec)
                at += part.nbytes
                self._parts.append(part)
                if name.endswith("shift"):
                    shifts.add(part.dtype)
            if len(shifts) > 1:
                raise TransferError(f"the token shifts of snapshot {number} differ in format")
        if at > self._max_bytes:
            raise TransferError("it is larger than what is read here")
        self._fill(memoryview(bytes(self._head)))
        self._head = bytearray()

    def close(self, spec: ModelSpec) -> list[Snapshot]:
        """The snapshots, after the last piece. Blocks while all is looked at."""
        if self.about is None or len(self._buffers) != len(self._parts) or not self._whole:
            raise TransferError("it ends too early")
        digest = hashlib.blake2b(digest_size=16)
        for buffer in self._buffers:
            digest.update(buffer)
        if digest.hexdigest() != self._digest:
            raise TransferError("its contents are damaged")
        tensors = [
            torch.frombuffer(buffer, dtype=part.dtype).reshape(part.shape)
            for buffer, part in zip(self._buffers, self._parts, strict=True)
        ]
        step = len(_PARTS)
        return [_snapshot(tensors[i : i + step], spec) for i in range(0, len(tensors), step)]

    @property
    def _whole(self) -> bool:
        return len(self._buffers[-1]) == self._parts[len(self._buffers) - 1].nbytes

    def _fill(self, data: memoryview) -> None:
        while len(data):
            if not self._buffers or self._whole:
                if len(self._buffers) == len(self._parts):
                    raise TransferError("there is more in it than its header says")
                self._buffers.append(bytearray())
            part, buffer = self._parts[len(self._buffers) - 1], self._buffers[-1]
            room = part.nbytes - len(buffer)
            buffer += data[:room]
            data = data[room:]

    def _read_about(self, given: Any) -> About:
        if not isinstance(given, dict) or given.get("format") != _FORMAT:
            raise TransferError("it is no session file")
        if given.get("version") != _VERSION:
            raise TransferError(
                f"it has version {str(given.get('version'))[:20]!r}, and only {_VERSION} is known"
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
        self._count, self._digest = int(count), texts["digest"]
        return About(**{name: texts[name] for name in names})


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


def _part(given: Any, name: str, at: int) -> _Part:
    """A tensor that has to begin `at` bytes behind the header."""
    if not isinstance(given, dict) or given.keys() != {"dtype", "shape", "data_offsets"}:
        raise TransferError(f"its header has no tensor {name}, or not as it has to be")
    dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise TransferError(f"the tensor {name} has no known number format")
    if not (_counts(shape) and _counts(offsets)):
        raise TransferError(f"the shape or place of the tensor {name} is none")
    part = _Part(_DTYPES[dtype], tuple(shape))
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


def _check(part: _Part, name: str, spec: ModelSpec) -> None:
    kind = _NAMES[part.dtype]
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


def _snapshot(tensors: Sequence[Tensor], spec: ModelSpec) -> Snapshot:
    wkv, logits, att_shift, ffn_shift, fed, told = tensors
    if not all(bool(torch.isfinite(tensor).all()) for tensor in (wkv, att_shift, ffn_shift)):
        raise TransferError("a state has numbers that are infinite or none")
    if bool((torch.isnan(logits) | (logits == torch.inf)).any()) or not bool(
        torch.isfinite(logits).any()
    ):
        raise TransferError("logits have numbers that are infinite or none")
    if int(fed.min()) < 0 or int(fed.max()) >= spec.vocab_size:
        raise TransferError("a token id is outside of the vocabulary")
    state = State(att_shift, wkv, ffn_shift)
    return Snapshot(state, logits, FedIds.of_tensor(fed), Lines(told.numpy().tobytes()))
