"""Choosing a token, and scoring tokens, in the native library; for models on any device.

The slow twins are server.engine.chooser.TorchChooser, which chooses the same ids, and
server.engine.scores.
"""

import ctypes
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.native.library import Doubles, Floats, Integers, library


class NativeChooser:
    """One sequence's options and counts. Made only where the library is available.

    options: temperature, top_p, top_k, min_p, typical_p, presence_penalty, frequency_penalty,
    repetition_penalty and penalty_decay. forbidden: ids that are never chosen, int64 [M].
    """

    def __init__(
        self, options: Sequence[float], biases: Sequence[tuple[int, float]], forbidden: Tensor
    ) -> None:
        loaded = library()
        assert loaded is not None
        self._choose = loaded.rwkv_sampler_choose
        ids = np.array([token for token, _ in biases], dtype=np.int64)
        added = np.array([bias for _, bias in biases], dtype=np.float64)
        self._largest = max((*ids.tolist(), *forbidden.tolist()), default=0)
        self._handle = loaded.rwkv_sampler_new(
            (ctypes.c_double * 9)(*options),
            ids.ctypes.data_as(Integers),
            added.ctypes.data_as(Doubles),
            len(ids),
            _pointer(forbidden, Integers),
            len(forbidden),
        )
        if not self._handle:
            raise MemoryError("there is not enough memory for another sampler")
        weakref.finalize(self, loaded.rwkv_sampler_free, self._handle)

    def choose(
        self,
        logits: Tensor,
        mask: NDArray[np.int32] | None,
        banned: Sequence[int],
        random: float,
    ) -> int | None:
        """See server.engine.chooser.Chooser."""
        values = logits.contiguous()
        vocab = len(values)
        if max([self._largest, *banned]) >= vocab:  # the library trusts what it is given
            raise IndexError(f"an id is outside the vocabulary of {vocab}")
        if mask is not None and mask.size * 32 < vocab:
            raise IndexError(f"a mask of {mask.size} words is too short for {vocab} ids")
        bits = None if mask is None else np.ascontiguousarray(mask, dtype=np.int32)
        token = self._choose(
            self._handle,
            values.data_ptr(),
            vocab,
            None if bits is None else bits.ctypes.data,
            (ctypes.c_int64 * len(banned))(*banned),
            len(banned),
            random,
        )
        return None if token < 0 else int(token)


def score(
    logits: Tensor, tokens: Sequence[int], alternatives: int, forbidden: Tensor
) -> tuple[list[float], list[list[int]], list[list[float]]] | None:
    """See server.engine.scores: of each token, and ids and values of the likeliest.

    logits: float32 [T,V] on the host. None where they are not finite. Only where the library is
    available.
    """
    loaded = library()
    assert loaded is not None
    values = logits.contiguous()
    rows, vocab = values.shape
    ids = torch.tensor(tokens, dtype=torch.int64)
    if max([0, *tokens, *forbidden.tolist()]) >= vocab or len(tokens) != rows:
        raise IndexError(f"{len(tokens)} tokens do not fit logits of {rows} × {vocab}")
    most = min(alternatives, vocab - len(forbidden))
    chosen = torch.empty(rows)
    best, best_ids = torch.empty(rows, most), torch.empty(rows, most, dtype=torch.int64)
    finite = loaded.rwkv_score(
        _pointer(values, Floats),
        rows,
        vocab,
        _pointer(forbidden, Integers),
        len(forbidden),
        _pointer(ids, Integers),
        most,
        _pointer(chosen, Floats),
        _pointer(best_ids, Integers),
        _pointer(best, Floats),
    )
    return (chosen.tolist(), best_ids.tolist(), best.tolist()) if finite else None


def _pointer(tensor: Tensor, kind: type) -> "ctypes._Pointer[ctypes.c_float]":
    return ctypes.cast(tensor.data_ptr(), kind)
