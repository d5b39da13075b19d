"""Snapshots to the parts of a session file."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from server.engine.snapshot import Snapshot
from server.session.transfer.form import FORMAT, NAMES, PARTS, VERSION, About

_ALIGNED = 8


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
            kind = NAMES[tensor.dtype]
            header[f"{number}.{name}"] = {"dtype": kind, "shape": shape, "data_offsets": offsets}
            digest.update(data)
            parts.append(data)
    what = {"format": FORMAT, "version": VERSION, **asdict(about)}
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
    return dict(zip(PARTS, tensors, strict=True))
