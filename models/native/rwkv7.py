"""RWKV-7 behind models.base.Model, computed by the native library.

Weights are bf16, or int8 with a scale for every 64 inputs of a row (then low ranks stay bf16, and
activations are rounded to 16 bits by groups of 64). Everything else is float32, the token shifts
of the state too; the state has the shapes and order of models.rwkv7. The slow twin is
models.rwkv7.Rwkv7. Shape letters: see models/base.py.
"""

import ctypes
import weakref
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from models.backends import BackendError
from models.base import CheckpointError, ModelSpec, State
from models.native.library import Floats, Integers, chosen_isa, library

_SPARE = {("avx512", torch.int8): 3, ("avx512", torch.bfloat16): 7}


class NativeRwkv7:
    """A loaded RWKV-7 checkpoint; implements models.base.Model.

    tensors: with their official names, on the CPU; each is packed and not referred to afterwards.
    begin: the wkv that sequences begin with, [L,H,N,N]; None is zeros.
    dtype: torch.bfloat16 or torch.int8. threads: how many compute, the caller among them; they
    end with the model. A sequence's logits are the same to the bit whatever `threads` is and
    whatever else is in the step. Raises BackendError when the library cannot be used.
    """

    def __init__(
        self,
        spec: ModelSpec,
        tensors: Iterable[tuple[str, Tensor]],
        dtype: torch.dtype,
        threads: int,
        begin: Tensor | None = None,
    ) -> None:
        self._spec, self._dtype, self._begin = spec, dtype, begin
        self.isa = chosen_isa()
        self._library = _loaded()
        self._handle = self._new(threads)
        weakref.finalize(self, self._library.rwkv7_free, self._handle)
        for name, tensor in tensors:
            self._put(name, tensor)
        _check(self._library.rwkv7_ready(self._handle))

    def _new(self, threads: int) -> int:
        spec = self._spec
        sizes = (spec.layers, spec.width, spec.heads, spec.head_size, spec.ffn_width)
        packed = _integers((*sizes, spec.vocab_size))
        is_int8 = self._dtype == torch.int8
        handle = self._library.rwkv7_new(packed, is_int8, self.isa.encode(), max(threads, 1))
        if not handle:
            raise BackendError("the native library found not enough memory or threads to start")
        return int(handle)

    def _put(self, name: str, tensor: Tensor) -> None:
        matrix = tensor.detach().float().contiguous()
        rows, cols = matrix.shape if matrix.dim() == 2 else (1, matrix.numel())
        _check(
            self._library.rwkv7_put(self._handle, name.encode(), _floats(matrix), rows, cols),
        )

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
        """What the widest tile leaves beside one token; 0 where that was not measured."""
        return _SPARE.get((self.isa, self._dtype), 0)

    @property
    def resident_bytes(self) -> int:
        """Memory of the packed weights and of what the library computes in."""
        return int(self._library.rwkv7_bytes(self._handle))

    def new_state(self, batch: int) -> State:
        """See models.base.Model."""
        spec = self._spec
        state = State(
            att_shift=torch.zeros(spec.layers, batch, spec.width),
            wkv=torch.zeros(spec.layers, batch, spec.heads, spec.head_size, spec.head_size),
            ffn_shift=torch.zeros(spec.layers, batch, spec.width),
        )
        if self._begin is not None:
            state.wkv.copy_(self._begin.unsqueeze(1).expand_as(state.wkv))
        return state

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        """See models.base.Model. every: logits after each token, [T,V]."""
        flat = tokens.to("cpu", torch.int64).contiguous()
        self._check_step(flat, lengths, state)
        logits = torch.empty(len(flat) if every else len(lengths), self._spec.vocab_size)
        strides = [stride for t in state.tensors for stride in t.stride()[:2]]
        self._library.rwkv7_forward(
            self._handle,
            ctypes.cast(flat.data_ptr(), Integers),
            _integers(lengths),
            len(lengths),
            *(_floats(tensor) for tensor in state.tensors),
            _integers(strides),
            _floats(logits),
            every,
        )
        return logits

    def _check_step(self, tokens: Tensor, lengths: Sequence[int], state: State) -> None:
        """The library trusts what it is given, so nothing wrong may reach it."""
        if not lengths or min(lengths) < 1:
            raise ValueError(f"every sequence of a step needs at least one token, got {lengths}")
        if sum(lengths) != len(tokens):
            raise ValueError(f"the lengths add up to {sum(lengths)}, but tokens are {len(tokens)}")
        low, high = tokens.aminmax()
        if low < 0 or high >= self._spec.vocab_size:
            raise IndexError(
                f"tokens from {int(low)} to {int(high)} are outside the vocabulary of "
                f"{self._spec.vocab_size}"
            )
        for given, own in zip(state.tensors, self.new_state(0).tensors, strict=True):
            expected = (own.shape[0], len(lengths), *own.shape[2:])
            kind = (given.dtype, given.device.type) == (torch.float32, "cpu")
            if tuple(given.shape) != expected or not kind or not given[0, 0].is_contiguous():
                raise ValueError(
                    f"a state of {list(given.shape)} {given.dtype} on {given.device} does not "
                    f"fit, expected {list(expected)} float32 on the CPU with whole rows"
                )


def _loaded() -> ctypes.CDLL:
    found = library()
    if found is None:
        raise BackendError("the native library was not built; install a C++ compiler and reinstall")
    return found


def _integers(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(values))(*values)


def _floats(tensor: Tensor) -> "ctypes._Pointer[ctypes.c_float]":
    return ctypes.cast(tensor.data_ptr(), Floats)


def _check(said: bytes | None) -> None:
    if said is not None:
        raise CheckpointError(said.decode())
