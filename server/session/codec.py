"""Snapshots as bytes: a safetensors file whose header says what it is and whose.

Metadata: `format` and `version`, the fields of the entry, and a checksum of what follows the
header, so that a file that was damaged is not taken for a state. Version 1, which is still read,
has a BLAKE2b digest of the tensors instead.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from typing import BinaryIO, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from models.base import State
from server.engine.snapshot import NO_LINES, FedIds, Lines, Snapshot
from server.session.entry import Entry
from server.session.tensors import Parts, bodies, head

ArchiveDtype = Literal["float32", "float16", "bf16"]
_FORMAT, _VERSION, _DIGESTED = "rwkv-server snapshot", "2", "1"
_LONGEST_HEADER = 2**24  # bytes
_HALVES = {"float16": torch.float16, "bf16": torch.bfloat16}
_STATE = ("att_shift", "wkv", "ffn_shift")


class CodecError(ValueError):
    """Bytes that are no snapshot this version can read."""


def encode(entry: Entry, snapshot: Snapshot, dtype: ArchiveDtype = "float32") -> Parts:
    """The file of a snapshot, whose first part is its header; copies no state as it is.

    dtype halves the float32 tensors of the state, not the logits.
    """
    half = _HALVES.get(dtype)
    tensors = {
        name: _halved(tensor, half)
        for name, tensor in zip(_STATE, snapshot.state.tensors, strict=True)
    }
    tensors["logits"] = snapshot.logits
    tensors["fed"] = snapshot.fed.to_tensor()
    if snapshot.told:
        tensors["told"] = torch.frombuffer(bytearray(snapshot.told.to_bytes()), dtype=torch.uint8)
    dtypes = [str(tensor.dtype).removeprefix("torch.") for tensor in snapshot.state.tensors]
    # Each begins where its numbers may: the longer ones are first.
    tensors = dict(sorted(tensors.items(), key=lambda item: -item[1].element_size()))
    data = bodies(tensors)
    return [head(tensors, _header(entry, dtypes) | {"checksum": _checksum(data)}), *data]


def decode(data: bytes) -> tuple[Entry, Snapshot]:
    """Raises CodecError for whatever encode did not write."""
    header = _metadata(BytesIO(data))
    entry = replace(_entry(header), nbytes=len(data))
    try:
        tensors = load(data)
        if not _whole(header, tensors, data):
            raise CodecError("its contents are damaged")
        dtypes = [getattr(torch, name) for name in header["dtypes"].split(",")]
        parts = (tensors[name].to(dtype) for name, dtype in zip(_STATE, dtypes, strict=True))
        fed = FedIds.of_tensor(tensors["fed"])
        told = Lines(tensors["told"].numpy().tobytes()) if "told" in tensors else NO_LINES
        return entry, Snapshot(State(*parts), tensors["logits"], fed, told)
    except (SafetensorError, KeyError, ValueError, AttributeError) as error:
        raise CodecError(str(error)) from error


def head_length(data: bytes) -> int:
    """So many bytes of a snapshot are enough to describe it."""
    return 8 + int.from_bytes(data[:8], "little")


def describe(file: BinaryIO) -> Entry:
    """The entry that a snapshot was kept as, but for its size; reads no more than the header.

    Raises CodecError.
    """
    return _entry(_metadata(file))


def _halved(tensor: Tensor, half: torch.dtype | None) -> Tensor:
    if half is None or tensor.dtype != torch.float32:
        return tensor
    if half is torch.float16:  # whose largest number a state can exceed
        tensor = tensor.clamp(*(torch.finfo(half).min, torch.finfo(half).max))
    return tensor.to(half)


def _checksum(data: Parts) -> str:
    """Of these bytes one after another: CRC-32, of which a processor makes gigabytes a second."""
    checksum = 0
    for part in data:
        checksum = zlib.crc32(part, checksum)
    return f"{checksum:08x}"


def _whole(header: Mapping[str, str], tensors: Mapping[str, Tensor], data: bytes) -> bool:
    if header["version"] != _DIGESTED:
        return _checksum([memoryview(data)[head_length(data) :]]) == header["checksum"]
    digest = hashlib.blake2b(digest_size=16)
    for part in bodies(dict(sorted(tensors.items()))):
        digest.update(part)
    return digest.hexdigest() == header["digest"]


def _header(entry: Entry, dtypes: list[str]) -> dict[str, str]:
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "key": entry.key.hex(),
        "parent": entry.parent.hex() if entry.parent else "",
        "fingerprint": entry.fingerprint,
        "owner": entry.owner,
        "tokens": str(entry.tokens),
        "turns": str(entry.turns),
        "plain": str(int(entry.plain)),
        "used": repr(entry.used),
        "pinned": str(int(entry.pinned)),
        "path": entry.path.hex(),
        "dtypes": ",".join(dtypes),
    }


def _metadata(file: BinaryIO) -> Mapping[str, str]:
    length = int.from_bytes(file.read(8), "little")
    if length > _LONGEST_HEADER:
        raise CodecError("it is no snapshot")
    try:
        header: Mapping[str, str] = json.loads(file.read(length))["__metadata__"]
        known = header["format"], header["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise CodecError("it is no snapshot") from error
    if known not in {(_FORMAT, _VERSION), (_FORMAT, _DIGESTED)}:
        raise CodecError(f"it is {known[0]} of version {known[1]}")
    return header


def _entry(header: Mapping[str, str]) -> Entry:
    try:
        return Entry(
            key=bytes.fromhex(header["key"]),
            parent=bytes.fromhex(header["parent"]) or None,
            fingerprint=header["fingerprint"],
            owner=header["owner"],
            tokens=int(header["tokens"]),
            turns=int(header["turns"]),
            plain=header["plain"] == "1",
            used=float(header["used"]),
            pinned=header["pinned"] == "1",
            path=bytes.fromhex(header.get("path", "")),
        )
    except (KeyError, ValueError) as error:
        raise CodecError("its header is damaged") from error
