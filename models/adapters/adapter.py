"""An adapter's kind and identity, from its file alone."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from models.adapters.names import (
    DOWN,
    START_DOWN,
    START_UP,
    UP,
    AdapterError,
    matrices,
    read,
    role,
)

Kind = Literal["state", "lora", "pissa", "disha"]


@dataclass(frozen=True, slots=True)
class Contents:
    """tensors: by the names of models/adapters/names.py; start: those of init_pissa.pth."""

    kind: Kind
    tensors: Mapping[str, Tensor]
    start: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A file that can be used with the checkpoint it was trained on.

    fingerprint is a hex digest of all that it adds: every value, and how much LoRA's count. alpha
    is LoRA's alone, initial PiSSA's alone. Tensors are read again whenever they are needed, so
    that an adapter which is not in use takes no memory.
    """

    path: Path
    kind: Kind
    fingerprint: str
    alpha: float | None = None
    initial: Path | None = None

    def contents(self) -> Contents:
        """Raises AdapterError when the file is not what it was when it was opened."""
        found = _read(self.path, self.alpha, self.initial)
        if _fingerprint(found, self.alpha) != self.fingerprint:
            raise AdapterError(f"{self.path} has changed since it was opened; start again with it")
        return found


def open_adapter(path: Path, *, alpha: float | None = None, initial: Path | None = None) -> Adapter:
    """A tuned initial state, LoRA, PiSSA or DiSHA, by the names of its tensors.

    alpha: of LoRA, as it was trained with; its files do not say. initial: PiSSA's init_pissa.pth,
    by which alone it differs from LoRA. A checkpoint that holds an initial state is taken for
    that. Raises AdapterError with one sentence for what cannot be used.
    """
    found = _read(path, alpha, initial)
    return Adapter(path, found.kind, _fingerprint(found, alpha), alpha, initial)


def _read(path: Path, alpha: float | None, initial: Path | None) -> Contents:
    tensors = read(path)
    kind = _kind(path, tensors, alpha, initial)
    if kind in {"lora", "pissa"}:
        _check_pairs(path, tensors, DOWN, UP)
    return Contents(kind, tensors, {} if initial is None else _start(initial, path, tensors))


def _kind(
    path: Path, tensors: Mapping[str, Tensor], alpha: float | None, initial: Path | None
) -> Kind:
    match _roles(path, tensors):
        case ["lora"]:
            return _lora_or_pissa(path, alpha, initial)
        case ["state" | "disha" as kind] if alpha is None and initial is None:
            return kind
        case ["state" | "disha" as kind]:
            given = "initial" if alpha is None else "alpha"
            what = "a tuned initial state" if kind == "state" else "DiSHA"
            raise AdapterError(f"{path} is {what}, which has no use for {given}; leave it out")
        case ["start"]:
            raise AdapterError(
                f"{path} is what PiSSA began with; give the trained file, and this one as initial"
            )
        case []:
            raise AdapterError(f"{path} only replaces tensors, as a checkpoint does; serve that")
        case several:
            raise AdapterError(
                f"{path} mixes {' and '.join(several)}; give each its own adapter file"
            )


def _roles(path: Path, tensors: Mapping[str, Tensor]) -> list[str]:
    """The kinds of tensors in a file, but for those that are replaced whole."""
    roles = {name: role(name) for name in tensors}
    if unknown := sorted(name for name, found in roles.items() if found is None):
        raise AdapterError(f"{path} is no adapter that is known here: it holds {unknown[0]}")
    found = {kind for kind in roles.values() if kind is not None}
    # Beside an initial state they would be lost, since nothing is merged.
    return sorted(found if "state" in found else found - {"whole"})


def _lora_or_pissa(path: Path, alpha: float | None, initial: Path | None) -> Kind:
    if alpha is not None and initial is not None:
        raise AdapterError(f"{path} is given both alpha (LoRA) and initial (PiSSA); leave one out")
    if initial is not None:
        return "pissa"
    if alpha is None:
        raise AdapterError(
            f"{path} holds low ranks, whose weight is not in the file: "
            "give alpha for LoRA, or init_pissa.pth as initial for PiSSA"
        )
    if not (math.isfinite(alpha) and alpha > 0):
        raise AdapterError(f"alpha is {alpha} for {path}, expected a number above 0")
    return "lora"


def _start(initial: Path, path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = read(initial)
    if {role(name) for name in found} != {"start"}:
        raise AdapterError(f"{initial} is not what PiSSA began with: it lacks {START_DOWN[1:]}")
    _check_pairs(initial, found, START_DOWN, START_UP)
    missing = set(matrices(tensors, DOWN)) - set(matrices(found, START_DOWN))
    if missing:
        raise AdapterError(f"{initial} lacks {min(missing)}, which {path} has; they do not match")
    return found


def _check_pairs(path: Path, tensors: Mapping[str, Tensor], down: str, up: str) -> None:
    for prefix in {*matrices(tensors, down), *matrices(tensors, up)}:
        if prefix + down not in tensors or prefix + up not in tensors:
            raise AdapterError(f"{path} has only one of {prefix}{down} and {up[1:]}")
        a, b = (tuple(tensors[prefix + suffix].shape) for suffix in (down, up))
        if len(a) != 2 or len(b) != 2 or a[0] != b[1] or a[0] == 0:
            raise AdapterError(
                f"{path} has {prefix}{down} with shape {list(a)} and {up[1:]} with {list(b)}, "
                "which are no two low ranks"
            )


def _fingerprint(found: Contents, alpha: float | None) -> str:
    """Of every value: adapters are small, and often differ in little."""
    digest = hashlib.sha256(f"{found.kind} {alpha}\n".encode())
    for tensors in (found.tensors, found.start):
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            flat = tensor.contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
