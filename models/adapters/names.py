"""Adapter files to named tensors, and what their names say about them.

As Joluck/RWKV-PEFT saves them: `<matrix>.lora_A` [r,in] and `.lora_B` [out,r], `<matrix>.disha`
(once `.bone`), `blocks.i.att.time_state`; other tensors stand under the names they have in a
checkpoint and replace those whole. web-rwkv's `.st` has `.lora.0`, turned, and `.lora.1`, and
`time_state` turned (cryscan/web-rwkv, convert_safetensors.py and src/runtime/loader.rs).
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from models import files, initial, layouts
from models.base import CheckpointError
from models.tensors import FORMATS

DOWN, UP, DISHA = ".lora_A", ".lora_B", ".disha"
START_DOWN, START_UP = ".init_lora_A", ".init_lora_B"
_PARTS = {DOWN: "lora", UP: "lora", DISHA: "disha", START_DOWN: "start", START_UP: "start"}
_WHOLE = re.compile(r"(emb|head|ln_out|blocks\.\d{1,6}\.(ln[012]|att|ffn))\.[A-Za-z0-9_.]+")
_WEB_RWKV = ".st"


class AdapterError(CheckpointError):
    """An adapter that cannot be used; the message is one sentence for its owner."""


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file; of a whole checkpoint only its initial state.

    Raises AdapterError for what is no adapter, damaged, or holds anything but finite numbers.
    """
    if not path.is_file():
        raise AdapterError(f"there is no adapter at {path}")
    try:
        found = _stored(path)
    except CheckpointError as error:
        raise AdapterError(str(error)) from error
    for name, tensor in found.items():
        if tensor.dtype not in {*FORMATS, torch.float64} or not tensor.isfinite().all():
            raise AdapterError(f"{path} holds a {name} that is not made of finite numbers")
    return found


def role(name: str) -> str | None:
    """state, lora, disha, start (of PiSSA) or whole; None for names that no adapter has."""
    if initial.holds(name):
        return "state"
    for suffix, kind in _PARTS.items():
        if name.endswith(suffix):
            return kind
    return "whole" if _WHOLE.fullmatch(name) and ".lora" not in name else None


def matrices(tensors: Mapping[str, Tensor], suffix: str) -> list[str]:
    """The prefixes of those names that end in `suffix`."""
    return [name.removesuffix(suffix) for name in tensors if name.endswith(suffix)]


def _stored(path: Path) -> dict[str, Tensor]:
    stored = files.read(path)
    if any(initial.holds(name) for name in stored) and "emb.weight" in stored:
        official = layouts.official(stored, path.parent)[1]
        return {name: official[name].detach() for name in official if initial.holds(name)}
    found = {name: stored[name].detach() for name in stored}
    if path.suffix == _WEB_RWKV:
        return _from_web_rwkv(path, found)
    return {re.sub(r"\.bone$", DISHA, name): tensor for name, tensor in found.items()}


def _from_web_rwkv(path: Path, stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, tensor in stored.items():
        if initial.holds(name):
            found[name] = _turned(tensor)
        elif name.endswith(".lora.0"):
            up = stored.get(name[:-1] + "1", tensor)
            # Early converters left it as it was.
            found[name.replace(".lora.0", DOWN)] = (
                tensor if tensor.shape[0:1] == up.shape[1:2] else _turned(tensor)
            )
        elif name.endswith(".lora.1"):
            found[name.replace(".lora.1", UP)] = tensor
        elif re.search(r"(^|\.)ln[012_]", name):
            found[name] = tensor
        else:  # others are renamed and turned by the generation, which is not known here
            raise AdapterError(
                f"{path} holds {name}, which is not read from adapters in .st; "
                "give the .pth that it was made from"
            )
    return found


def _turned(tensor: Tensor) -> Tensor:
    """Its last two dimensions exchanged, if it has as many."""
    return tensor.mT if tensor.dim() > 1 else tensor
