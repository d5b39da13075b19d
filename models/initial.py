"""Tuned initial states: the wkv state [L,H,N,N] that a model begins with, as files hold it.

A file has `blocks.i.att.time_state` [H,N,N] for every layer, with value before key in every
generation (Joluck/RWKV-PEFT, `train_type state`); the `rwkv` package turns it for RWKV-5 and 6,
whose wkv has key before value. Token shift begins with zeros. Shape letters: see models/base.py.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from models.base import CheckpointError, ModelSpec

_SUFFIX = ".att.time_state"


def holds(name: str) -> bool:
    """Whether a tensor of this name is a layer's initial state."""
    return name.endswith(_SUFFIX)


def shapes(tensors: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    """What a file must have that has the initial state of any layer; otherwise nothing.

    Raises CheckpointError where the model has no such state.
    """
    found = {name for name in tensors if holds(name)}
    if not found:
        return {}
    if spec.generation == "4":
        raise CheckpointError("RWKV-4 has no matrices that a tuned initial state could be")
    names = [f"blocks.{i}{_SUFFIX}" for i in range(spec.layers)]
    if not found <= set(names):
        raise CheckpointError(
            f"there are initial states of {len(found)} layers, where the model has {spec.layers}"
        )
    return dict.fromkeys(names, (spec.heads, spec.head_size, spec.head_size))


def wkv(tensors: Mapping[str, Tensor], spec: ModelSpec) -> Tensor | None:
    """[L,H,N,N] float32, as the generation has it; None where there is no initial state.

    tensors: with the shapes that `shapes` demands.
    """
    names = shapes(tensors, spec)
    if not names:
        return None
    stacked = torch.stack([tensors[name].detach().float() for name in names])
    return stacked if spec.generation == "7" else stacked.mT.contiguous()
