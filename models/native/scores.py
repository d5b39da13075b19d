"""How likely tokens were, by the native library. The slow twin is in server.engine.scores."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from models.native.library import Floats, Integers, library
from models.native.team import Team


def score(
    logits: Sequence[Tensor],
    tokens: Sequence[int],
    alternatives: int,
    forbidden: Tensor,
    team: Team | None = None,
) -> tuple[list[float], list[list[int]], list[list[float]]]:
    """See server.engine.scores.score_on_torch: of each token, and ids and values of the likeliest.

    logits: of each token, float32 [V] on the host; one row or more. Only where the library is
    available.
    """
    loaded = library()
    assert loaded is not None
    rows, vocab = [row.contiguous() for row in logits], len(logits[0])
    if max([0, *tokens, *forbidden.tolist()]) >= vocab or len(tokens) != len(rows):
        raise IndexError(f"{len(tokens)} tokens do not fit logits of {len(rows)} × {vocab}")
    most = min(alternatives, vocab - len(forbidden))
    ids = torch.tensor(tokens, dtype=torch.int64)
    chosen = torch.empty(len(rows))
    best, best_ids = torch.empty(len(rows), most), torch.empty(len(rows), most, dtype=torch.int64)
    if not loaded.rwkv_score(
        team and team.handle,
        (ctypes.c_void_p * len(rows))(*(row.data_ptr() for row in rows)),
        len(rows),
        vocab,
        *(_integers(forbidden), len(forbidden)),
        *(_integers(ids), most),
        *(_floats(chosen), _integers(best_ids), _floats(best)),
    ):
        raise MemoryError("there is not enough memory to score tokens")
    return chosen.tolist(), best_ids.tolist(), best.tolist()


def _integers(tensor: Tensor) -> "ctypes._Pointer[ctypes.c_int64]":
    return ctypes.cast(tensor.data_ptr(), Integers)


def _floats(tensor: Tensor) -> "ctypes._Pointer[ctypes.c_float]":
    return ctypes.cast(tensor.data_ptr(), Floats)
