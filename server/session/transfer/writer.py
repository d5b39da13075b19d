"""Snapshots to the parts of a session file."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from server.engine.snapshot import Snapshot
from server.session.tensors import bodies, head
from server.session.transfer.form import FORMAT, PARTS, VERSION, About

_ALIGNED = 8


def write(about: About, snapshots: Sequence[Snapshot]) -> list[bytes | memoryview]:
    """The file in parts. Copies no state."""
    tensors = {
        f"{number}.{name}": tensor
        for number, snapshot in enumerate(snapshots)
        for name, tensor in _tensors(snapshot).items()
    }
    data, digest = bodies(tensors), hashlib.blake2b(digest_size=16)
    for part in data:
        digest.update(part)
    what = {"format": FORMAT, "version": VERSION, **asdict(about)}
    what |= {"snapshots": str(len(snapshots)), "digest": digest.hexdigest()}
    return [head(tensors, what), *data]


def _tensors(snapshot: Snapshot) -> Mapping[str, Tensor]:
    state = snapshot.state
    told = snapshot.told.to_bytes() + b" " * (-snapshot.told.nbytes % _ALIGNED)
    fed = snapshot.fed.to_tensor()
    said = torch.frombuffer(bytearray(told), dtype=torch.uint8)
    tensors = (state.wkv, snapshot.logits, state.att_shift, state.ffn_shift, fed, said)
    return dict(zip(PARTS, tensors, strict=True))
