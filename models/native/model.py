"""RWKV of any generation behind models.base.Model, computed by the native library.

Weights are bf16, int8 with a scale for every 64 inputs of a row, or int4 with one for every 32 and
an int8 head; low ranks and the embedding are bf16 always. Integer weights are multiplied by
activations that are rounded by groups of 64: to 16 bits in int8, to 8 in int4 and in w8a8, which
has the weights of int8. Everything else is float32, the token shifts of the state too; the state
has the shapes and order of the slow twins, models.rwkv4 to models.rwkv7. Shape letters: see
models/base.py.
"""

import ctypes
import weakref
from collections.abc import Iterable, Sequence
from functools import cache
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import wkv4
from models.backends import BackendError
from models.base import CheckpointError, Logits, ModelSpec, State, hosted
from models.native.choice import FORMATS
from models.native.isa import chosen_isa
from models.native.library import Floats, Integers, library
from models.native.packed import Blob, PackedFile

_NUMBERS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}  # as the library has them

_SPARE = {
    ("amx", torch.bfloat16): 15,
    ("amx", torch.int8): 7,
    ("amx", torch.qint8): 15,
    ("amx", torch.quint4x2): 7,
    ("avx512", torch.bfloat16): 7,
    ("avx512", torch.int8): 3,
    ("avx512", torch.qint8): 3,
    ("avx512", torch.quint4x2): 3,
    ("avx2", torch.bfloat16): 2,
    ("avx2", torch.int8): 2,
    ("avx2", torch.qint8): 2,
    ("avx2", torch.quint4x2): 2,
}  # see docs/decisions/0036, 0041 and 0053


class NativeModel:
    """A loaded checkpoint; implements models.base.Model.

    tensors: with their official names, on the CPU; each is packed and not referred to afterwards.
    begin: the wkv that sequences begin with, [L,H,N,N]; None is zeros.
    dtype: a key of choice.FORMATS. threads: how many compute, the caller among them; they end
    with the model. shared: names of tensors that are those of `base`, a model of the same sizes
    and format; they live as long as either. packed: has what was packed before of tensors; then
    `tensors` yields their outlines. A sequence's logits are the same to the bit whatever `threads`
    is and whatever else is in the step. Raises BackendError when the library cannot be used.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tensors: Iterable[tuple[str, Tensor]],
        dtype: torch.dtype,
        threads: int,
        begin: Tensor | None = None,
        *,
        base: "NativeModel | None" = None,
        shared: Iterable[str] = (),
        packed: PackedFile | None = None,
    ) -> None:
        self._spec, self._dtype, self._begin = spec, dtype, begin
        self.isa = chosen_isa()
        self._library = _loaded()
        width = (spec.width,)
        self._rows = width, _wkv_shape(spec), width  # of each tensor of a state
        self._handle = self._new(threads)
        weakref.finalize(self, self._library.rwkv_free, self._handle)
        if base is not None:
            for name in shared:
                _check(self._library.rwkv_share(self._handle, base._handle, name.encode()))
        if packed is not None:
            self._read(packed, tensors, threads)
        else:
            for name, tensor in tensors:
                self._put(name, tensor)
        _check(self._library.rwkv_ready(self._handle))

    def _new(self, threads: int) -> int:
        spec = self._spec
        sizes = (spec.layers, spec.width, spec.heads, spec.head_size, spec.ffn_width)
        handle = self._library.rwkv_new(
            spec.generation.encode(),
            _integers((*sizes, spec.vocab_size)),
            FORMATS[self._dtype].encode(),
            self.isa.encode(),
            max(threads, 1),
        )
        if not handle:
            raise BackendError("the native library found not enough memory or threads to start")
        return int(handle)

    def _put(self, name: str, tensor: Tensor) -> None:
        values = tensor.detach()
        values = (values if values.dtype in _NUMBERS else values.float()).contiguous()
        matrix = values.view(-1, values.shape[-1])
        address, number = matrix.data_ptr(), _NUMBERS[matrix.dtype]
        _check(self._library.rwkv_put(self._handle, name.encode(), address, number, *matrix.shape))

    def _read(
        self, packed: PackedFile, outlines: Iterable[tuple[str, Tensor]], threads: int
    ) -> None:
        """Raises PackedError, or CheckpointError where sizes are not those of the outlines."""
        is_mapped = not self._library.rwkv_map(self._handle, packed.mappable, packed.size)
        blobs = {}
        for name, outline in outlines:
            size, memory = packed.sizes.get(name, 0), ctypes.c_void_p()
            shape = outline.numel() // outline.shape[-1], outline.shape[-1]
            at = packed.starts[name] if is_mapped and size else -1
            place = self._library.rwkv_place
            _check(place(self._handle, name.encode(), *shape, size, at, ctypes.byref(memory)))
            if memory.value:
                blobs[name] = Blob(memory.value, size)
        packed.check(blobs, max(threads, 1), read=not is_mapped)

    def packed(self, names: Iterable[str]) -> dict[str, Blob]:
        """What tensors became, by those of their names that are in use; gone with the model."""
        found, memory = {}, ctypes.c_void_p()
        for name in names:
            size = self._library.rwkv_packed(self._handle, name.encode(), ctypes.byref(memory))
            if memory.value:
                found[name] = Blob(memory.value, int(size))
        return found

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return self._dtype

    @property
    def spare_tokens(self) -> int:
        """What a step takes in little more time than one token; 0 where that brings nothing."""
        return _SPARE.get((self.isa, self._dtype), 0)

    def new_state(self, batch: int) -> State:
        """See models.base.Model."""
        spec = self._spec
        state = State(
            att_shift=torch.zeros(spec.layers, batch, spec.width),
            wkv=torch.zeros(spec.layers, batch, *_wkv_shape(spec)),
            ffn_shift=torch.zeros(spec.layers, batch, spec.width),
        )
        if spec.generation == "4":
            state.wkv[:, :, 2] = wkv4.EMPTY
        if self._begin is not None:
            state.wkv.copy_(self._begin.unsqueeze(1).expand_as(state.wkv))
        return state

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        """See models.base.Model."""
        numbers = hosted(tokens).numpy()
        return torch.from_numpy(self.step(numbers, lengths, state, every=every))

    def step(
        self,
        tokens: Sequence[int] | NDArray[np.int64],
        lengths: Sequence[int],
        state: State,
        *,
        every: bool = False,
    ) -> Logits:
        """See models.base.HostModel. every: logits after each token, [T,V]."""
        flat = np.ascontiguousarray(tokens, dtype=np.int64)
        self._check_step(flat, lengths, state)
        rows = len(flat) if every else len(lengths)
        logits = np.empty((rows, self._spec.vocab_size), dtype=np.float32)
        strides = [stride for t in state.tensors for stride in t.stride()[:2]]
        self._library.rwkv_forward(
            self._handle,
            ctypes.cast(flat.ctypes.data, Integers),
            _integers(lengths),
            len(lengths),
            *(ctypes.cast(tensor.data_ptr(), Floats) for tensor in state.tensors),
            _integers(strides),
            ctypes.cast(logits.ctypes.data, Floats),
            every,
        )
        return logits

    def _check_step(self, tokens: NDArray[np.int64], lengths: Sequence[int], state: State) -> None:
        """The library trusts what it is given, so nothing wrong may reach it."""
        if not lengths or min(lengths) < 1:
            raise ValueError(f"every sequence of a step needs at least one token, got {lengths}")
        if sum(lengths) != len(tokens):
            raise ValueError(f"the lengths add up to {sum(lengths)}, but tokens are {len(tokens)}")
        low, high = tokens.min(), tokens.max()
        if low < 0 or high >= self._spec.vocab_size:
            raise IndexError(
                f"tokens from {low} to {high} are outside the vocabulary of {self._spec.vocab_size}"
            )
        for given, row in zip(state.tensors, self._rows, strict=True):
            expected = (self._spec.layers, len(lengths), *row)
            kind = given.dtype is torch.float32 and given.is_cpu
            if given.shape != expected or not kind or given.stride()[2:] != _whole(row):
                raise ValueError(
                    f"a state of {list(given.shape)} {given.dtype} on {given.device} does not "
                    f"fit, expected {list(expected)} float32 on the CPU with whole rows"
                )


def resident_bytes(models: Iterable[NativeModel]) -> int:
    """Memory of packed weights, shared ones once, and of what is computed in."""
    handles = [model._handle for model in models]
    if not handles:
        return 0
    return int(_loaded().rwkv_bytes((ctypes.c_void_p * len(handles))(*handles), len(handles)))


def _wkv_shape(spec: ModelSpec) -> tuple[int, ...]:
    """Of one layer and sequence."""
    if spec.generation == "4":
        return 3, spec.width
    return spec.heads, spec.head_size, spec.head_size


def _loaded() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise BackendError("the native library was not built; install a C++ compiler and reinstall")
    return found


def _integers(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


@cache
def _whole(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of such a row in one piece."""
    return tuple(prod(shape[at + 1 :]) for at in range(len(shape)))


def _check(said: bytes | None) -> None:
    if said is not None:
        raise CheckpointError(said.decode())
