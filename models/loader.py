"""From a checkpoint file to a model that is ready to run, with an adapter in it or without."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from models import adapters, initial
from models.adapters import Adapter, AdapterError
from models.backends import Backend
from models.base import CheckpointError, Model, ModelSpec
from models.checkpoint import Checkpoint, find_checkpoint, open_checkpoint
from models.layers import Network
from models.native.choice import runs_natively
from models.native.keeping import Kept
from models.native.model import NativeModel
from models.native.model import resident_bytes as native_bytes
from models.native.packed import PackedFile
from models.native.sizes import estimate as native_estimate
from models.rwkv4 import Rwkv4
from models.rwkv5 import Rwkv5
from models.rwkv6 import Rwkv6
from models.rwkv7 import Rwkv7
from models.tensors import LazyTensors, outlines

__all__ = [
    "find_checkpoint",
    "format_name",
    "load",
    "number_format",
    "resident_bytes",
    "weights_bytes",
]

Progress = Callable[[int, int], None]
"""Called with (bytes loaded so far, bytes in all), at least at the beginning and the end."""

log = logging.getLogger(__name__)

_NETWORKS: dict[str, type[Network]] = {
    "4": Rwkv4,
    "5.0": Rwkv5,
    "5.1": Rwkv5,
    "5.2": Rwkv5,
    "6": Rwkv6,
    "7": Rwkv7,
}
_DTYPES = {
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "int8": torch.int8,
    "w8a8": torch.qint8,
    "int4": torch.quint4x2,
}
_SMALL_MODEL = 200_000_000  # parameters; below it float32 costs torch little and rounds least


def _no_progress(done: int, total: int) -> None:
    del done, total


def load(
    path: Path,
    backend: Backend,
    dtype: str = "auto",
    progress: Progress = _no_progress,
    adapter: Adapter | None = None,
    base: Model | None = None,
    *,
    keep_packed: str = "off",
) -> Model:
    """Load a checkpoint of RWKV-4 to RWKV-7.

    path: a checkpoint file of any layout, the index of one in several files, or a folder with
    one. dtype: auto, float32, bf16, fp16, int8, w8a8 or int4; on the CPU, all but float32 and fp16
    are computed by a NativeModel. adapter: merged into the weights, and into the fingerprint; not
    a tuned initial state. base: a model that this function made of the same checkpoint, in the
    same number format and on the same device: tensors that the adapter leaves alone are shared
    with it; any other model is of no use, and of no harm. keep_packed: see
    native.keeping.folder_of. Raises CheckpointError with one sentence when the checkpoint cannot be
    served, AdapterError when the adapter cannot, BackendError when the environment forces an
    instruction set that is not there.
    """
    found = open_checkpoint(path)
    backend.fit(found.spec.parameters)
    chosen = number_format(dtype, backend, found.spec)
    network = _NETWORKS[found.spec.generation]
    try:
        changes = adapters.changes(adapter, found.tensors) if adapter else {}
        if runs_natively(found.spec, backend.device, chosen):
            spec = _spec(found.spec, adapter)
            kept = None if adapter else Kept.of(found, chosen, keep_packed)
            return _native(found, spec, changes, chosen, progress, base, kept)
        shared = _shared(base, found.spec, backend, chosen)
        touched = network.affected(changes)
        names = [name for name in found.tensors if name in touched or name not in shared]
        tensors = {**shared}
        tensors |= _convert(found.tensors, names, changes, backend, chosen, progress)
    except AdapterError:
        raise
    except CheckpointError as error:
        raise CheckpointError(f"{found.path} cannot be served: {error}") from error
    for name in names:
        tensors[name] = network.prepared(name, tensors)
    return network(_spec(found.spec, adapter), tensors)


def _native(
    found: Checkpoint,
    spec: ModelSpec,
    changes: Mapping[str, adapters.Change],
    dtype: torch.dtype,
    progress: Progress,
    base: Model | None,
    kept: Kept | None,
) -> Model:
    twin = base if isinstance(base, NativeModel) and _is_of(base, found.spec, dtype) else None
    names = [name for name in found.tensors if twin is None or name in changes]
    # The largest first: what is mapped of it comes on top of the least that is packed already.
    names.sort(key=lambda name: -found.tensors.outline(name).nbytes)
    begin = initial.wkv(found.tensors, found.spec)

    def made(tensors: Iterable[tuple[str, Tensor]], packed: PackedFile | None) -> NativeModel:
        shared = [name for name in found.tensors if name not in names]
        sizes = spec, tensors, dtype, torch.get_num_threads(), begin
        return NativeModel(*sizes, base=twin, shared=shared, packed=packed)

    def restored(packed: PackedFile) -> NativeModel:
        return made(((name, found.tensors.outline(name)) for name in names), packed)

    def packed_now() -> NativeModel:
        return made(_read(found.tensors, names, changes, progress), None)

    if kept is None:
        model = packed_now()
    else:
        total = sum(found.tensors.outline(name).nbytes for name in names)
        progress(0, total)
        model = kept.model(restored, packed_now, names)
        progress(total, total)
    log.info("computing in the native library, with %s", model.isa)
    return model


def _read(
    tensors: LazyTensors,
    names: list[str],
    changes: Mapping[str, adapters.Change],
    progress: Progress,
) -> Iterator[tuple[str, Tensor]]:
    """Each tensor, changed, in turn; what it takes of a mapped file is not kept in memory."""
    total = sum(tensors.outline(name).nbytes for name in names)
    done = 0
    progress(done, total)
    for name in names:
        original = tensors[name].detach()
        yield name, changes[name](original) if name in changes else original
        done += original.nbytes
        tensors.forget(name)
        progress(done, total)


def resident_bytes(models: Iterable[Model]) -> int:
    """Memory of the weights of models that `load` made; what they share counts once.

    The few vectors that a model keeps in float32 besides are left out: a thousandth of it.
    """
    models = list(models)
    storages = {
        (tensor.device, tensor.untyped_storage().data_ptr()): tensor.untyped_storage().nbytes()
        for model in models
        if isinstance(model, Network)
        for tensor in model.tensors.values()
    }
    packed = native_bytes(model for model in models if isinstance(model, NativeModel))
    return sum(storages.values()) + packed


def _spec(spec: ModelSpec, adapter: Adapter | None) -> ModelSpec:
    if adapter is None:
        return spec
    return replace(spec, fingerprint=adapters.merged_fingerprint(spec, adapter))


def _shared(
    base: Model | None, spec: ModelSpec, backend: Backend, dtype: torch.dtype
) -> Mapping[str, Tensor]:
    """The tensors that a new model of this kind can have in common with `base`."""
    if isinstance(base, Network) and _is_of(base, spec, dtype) and base.device == backend.device:
        return base.tensors
    return {}


def _is_of(base: Model, spec: ModelSpec, dtype: torch.dtype) -> bool:
    """Whether a model is that checkpoint itself, in that number format."""
    return base.spec.fingerprint == spec.fingerprint and base.dtype == dtype


def number_format(name: str, backend: Backend, spec: ModelSpec) -> torch.dtype:
    """What `load` makes of its `dtype` for such a model; see docs/decisions/0005."""
    if name != "auto":
        return _DTYPES[name]
    on_cpu = backend.device.type == "cpu"
    if on_cpu and runs_natively(spec, backend.device, torch.bfloat16):
        return torch.bfloat16
    if on_cpu and spec.parameters < _SMALL_MODEL:
        return torch.float32
    return backend.default_dtype


def format_name(dtype: torch.dtype) -> str:
    """What people are told that a model computes in."""
    own = {torch.qint8: "w8a8", torch.quint4x2: "int4"}
    return own.get(dtype, str(dtype).removeprefix("torch."))


def weights_bytes(found: Checkpoint, backend: Backend, dtype: torch.dtype) -> int:
    """Memory that a checkpoint will take when it is loaded, without its states."""
    if runs_natively(found.spec, backend.device, dtype):
        return native_estimate(found.spec, outlines(found.tensors), dtype)
    return found.spec.parameters * dtype.itemsize


def _convert(
    tensors: LazyTensors,
    names: list[str],
    changes: Mapping[str, adapters.Change],
    backend: Backend,
    dtype: torch.dtype,
    progress: Progress,
) -> dict[str, Tensor]:
    converted = {}
    for name, tensor in _read(tensors, names, changes, progress):
        wanted = torch.float32 if initial.holds(name) else dtype  # as it is in a State
        # A copy, so that nothing refers to the mapped file: it may be replaced while we run.
        converted[name] = tensor.to(device=backend.device, dtype=wanted, copy=True).contiguous()
    return converted
