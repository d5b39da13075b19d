"""Adapters merged into the weights, one tensor at a time, in float32.

Definitions (Joluck/RWKV-PEFT, merge/): LoRA W + B·A·(alpha/r). PiSSA W − B0·A0 + B·A, where B0
and A0 are what training began with. DiSHA (Bone) with D [r,out]: W[o,i] + D[i mod r, o]; with
D [in/r,r,r]: every r×r block of W in block column j becomes W + W·D[j] + D[j].
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

from models.adapters.adapter import Adapter, Contents
from models.adapters.names import (
    DISHA,
    DOWN,
    START_DOWN,
    START_UP,
    UP,
    AdapterError,
    matrices,
    role,
)
from models.base import CheckpointError, ModelSpec
from models.tensors import outlines

Change = Callable[[Tensor], Tensor]
_Shape = tuple[int, ...]


def merged_fingerprint(spec: ModelSpec, adapter: Adapter) -> str:
    """Of a checkpoint's weights with an adapter in them."""
    return hashlib.sha256(f"{spec.fingerprint} {adapter.fingerprint}".encode()).hexdigest()


def changes(adapter: Adapter, tensors: Mapping[str, Tensor]) -> dict[str, Change]:
    """What becomes of a checkpoint's tensors, by name; of others nothing.

    A change takes the original tensor and returns another one, in float32 where it computes.
    Raises AdapterError when the adapter does not fit the checkpoint.
    """
    if adapter.kind == "state":
        raise AdapterError(f"{adapter.path} is an initial state, which is not merged into weights")
    shapes = {name: tuple(outline.shape) for name, outline in outlines(tensors).items()}
    found = adapter.contents()
    try:
        merging, replacing = _merging(found, adapter.alpha, shapes), _replacing(found, shapes)
        if both := merging.keys() & replacing.keys():
            raise CheckpointError(f"it replaces {min(both)} and adds to it as well")
        return merging | replacing
    except CheckpointError as error:
        raise AdapterError(f"{adapter.path} does not fit the model: {error}") from error


def _merging(
    found: Contents, alpha: float | None, shapes: Mapping[str, _Shape]
) -> dict[str, Change]:
    if found.kind == "disha":
        prefixes = matrices(found.tensors, DISHA)
        return {f"{p}.weight": _disha(p, found.tensors[p + DISHA], shapes) for p in prefixes}
    merging: dict[str, Change] = {}
    for prefix in matrices(found.tensors, DOWN):
        shape = _matrix(prefix, shapes)
        a, b = found.tensors[prefix + DOWN], found.tensors[prefix + UP]
        _check_low_ranks(prefix, a, b, shape)
        scale = 1.0 if alpha is None else alpha / len(a)
        if found.kind == "pissa":
            start = found.start[prefix + START_DOWN], found.start[prefix + START_UP]
            _check_low_ranks(prefix, *start, shape)
            merging[f"{prefix}.weight"] = partial(_add_pissa, a, b, *start)
        else:
            merging[f"{prefix}.weight"] = partial(_add_low_ranks, a, b, scale)
    return merging


def _matrix(prefix: str, shapes: Mapping[str, _Shape]) -> _Shape:
    """(out, in) of the matrix that an adapter's tensors belong to."""
    shape = shapes.get(f"{prefix}.weight", ())
    if len(shape) != 2:
        raise CheckpointError(f"it is for a matrix {prefix}.weight, which there is not")
    return shape


def _check_low_ranks(prefix: str, a: Tensor, b: Tensor, shape: _Shape) -> None:
    if (len(b), a.shape[1]) != shape:
        raise CheckpointError(
            f"its low ranks make a matrix {[len(b), a.shape[1]]} for {prefix}.weight, "
            f"which has shape {list(shape)}"
        )


def _disha(prefix: str, d: Tensor, shapes: Mapping[str, _Shape]) -> Change:
    shape = _matrix(prefix, shapes)
    rows, columns = shape
    if d.dim() == 2 and 0 < len(d) <= columns and d.shape[1] == rows:
        return partial(_add_rows, d)
    size = d.shape[-1] if d.dim() == 3 and d.shape[1] == d.shape[2] else 0
    if size and len(d) * size == columns and rows % size == 0:
        return partial(_add_blocks, d)
    raise CheckpointError(
        f"its {prefix}{DISHA} has shape {list(d.shape)}, which does not fit the shape "
        f"{list(shape)} of {prefix}.weight"
    )


def _replacing(found: Contents, shapes: Mapping[str, _Shape]) -> dict[str, Change]:
    replacing: dict[str, Change] = {}
    for name, tensor in found.tensors.items():
        if role(name) != "whole":
            continue
        if name not in shapes:
            raise CheckpointError(f"it replaces {name}, which there is not")
        if _essential(tensor.shape) != _essential(shapes[name]):
            raise CheckpointError(
                f"it replaces {name} by shape {list(tensor.shape)}, expected {list(shapes[name])}"
            )
        replacing[name] = partial(_replace, tensor)
    return replacing


def _essential(shape: _Shape) -> list[int]:
    """Vectors are stored as [C] or as [1,1,C], as it pleases whoever wrote them."""
    return [size for size in shape if size != 1]


def _replace(by: Tensor, tensor: Tensor) -> Tensor:
    return by.reshape(tensor.shape)


def _add_low_ranks(a: Tensor, b: Tensor, scale: float, tensor: Tensor) -> Tensor:
    return tensor.float().addmm(b.float(), a.float(), alpha=scale)


def _add_pissa(a: Tensor, b: Tensor, a0: Tensor, b0: Tensor, tensor: Tensor) -> Tensor:
    return _add_low_ranks(a, b, 1, _add_low_ranks(a0, b0, -1, tensor))


def _add_rows(d: Tensor, tensor: Tensor) -> Tensor:
    columns = tensor.shape[1]
    return tensor.float() + d.float().T.repeat(1, -(-columns // len(d)))[:, :columns]


def _add_blocks(d: Tensor, tensor: Tensor) -> Tensor:
    count, size, _ = d.shape
    blocks = tensor.float().reshape(-1, size, count, size).transpose(1, 2)
    changed = blocks + blocks @ d.float() + d.float()
    return changed.transpose(1, 2).reshape(tensor.shape)
