"""Choosing tokens in the native library, for models on any device.

The slow twin is server.engine.chooser.TorchChooser, which chooses the same ids.
"""

import ctypes
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.native.library import Choice, Doubles, Integers, library
from models.native.team import Team


class NativeChoice:
    """One that `choose` makes; see server.engine.chooser.Choice."""

    __slots__ = ("read", "row", "token")

    def __init__(self, row: Choice, *read: object) -> None:
        """read: what the row points to, alive as long as it may be read."""
        self.row = row
        self.read = read
        self.token: int | None = None


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
        ids = np.array([token for token, _ in biases], dtype=np.int64)
        added = np.array([bias for _, bias in biases], dtype=np.float64)
        self._largest = max((*ids.tolist(), *forbidden.tolist()), default=0)
        self._handle = loaded.rwkv_sampler_new(
            (ctypes.c_double * 9)(*options),
            ids.ctypes.data_as(Integers),
            added.ctypes.data_as(Doubles),
            len(ids),
            ctypes.cast(forbidden.data_ptr(), Integers),
            len(forbidden),
        )
        if not self._handle:
            raise MemoryError("there is not enough memory for another sampler")
        weakref.finalize(self, loaded.rwkv_sampler_free, self._handle)

    def ask(
        self,
        logits: NDArray[np.float32],
        mask: NDArray[np.int32] | None,
        banned: Sequence[int],
        random: float,
    ) -> NativeChoice:
        """See server.engine.chooser.Chooser."""
        values = np.ascontiguousarray(logits, dtype=np.float32)
        vocab = len(values)
        if max([self._largest, *banned]) >= vocab:  # the library trusts what it is given
            raise IndexError(f"an id is outside the vocabulary of {vocab}")
        if mask is not None and mask.size * 32 < vocab:
            raise IndexError(f"a mask of {mask.size} words is too short for {vocab} ids")
        bits = None if mask is None else np.ascontiguousarray(mask, dtype=np.int32)
        ids = (ctypes.c_int64 * len(banned))(*banned) if banned else None
        row = Choice(
            self._handle,
            values.ctypes.data,
            vocab,
            None if bits is None else bits.ctypes.data,
            None if ids is None else ctypes.addressof(ids),
            len(banned),
            random,
        )
        return NativeChoice(row, self, values, bits, ids)


def choose(choices: Sequence[NativeChoice], team: Team | None) -> None:
    """Set their tokens; no two may be of the same chooser."""
    loaded = library()
    assert loaded is not None
    rows = (Choice * len(choices))(*(choice.row for choice in choices))
    if not loaded.rwkv_choose(team and team.handle, rows, len(rows)):
        raise MemoryError("there is not enough memory to choose tokens")
    for choice, row in zip(choices, rows, strict=True):
        choice.token = None if row.token < 0 else row.token
