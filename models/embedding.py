"""A text as a vector: what its tokens left in the wkv state, folded to a few numbers.

Two texts are alike where their states are. A state is far too large to be handed out, so its
entries are added up, each with a random sign, into DIMENSIONS sums: a count sketch (Charikar,
Chen and Farach-Colton 2002), whose inner products are those of the states up to about
1 / sqrt(DIMENSIONS). Every head counts alike, however large its numbers are. The signs are bits
of SHAKE-256, so that vectors stay comparable whatever computes them.
"""

import functools
import hashlib

import numpy as np
import torch
from torch import Tensor

from models.base import State

DIMENSIONS = 1024
_SEED = b"rwkv-server embedding 1"


def embedding(state: State) -> Tensor:
    """float32 [DIMENSIONS] of length 1, of a state (B = 1, on the host) that was fed something."""
    heads = _heads(state.wkv[:, 0])
    flat = torch.nn.functional.normalize(heads, dim=-1).flatten()
    flat = torch.nn.functional.pad(flat, (0, -len(flat) % DIMENSIONS))
    signed = flat.view(-1, DIMENSIONS) * _signs(len(flat) // DIMENSIONS)
    return torch.nn.functional.normalize(signed.sum(0), dim=0)


def _heads(wkv: Tensor) -> Tensor:
    """What each head remembers: [L,H,N·N], of RWKV-4 [L,1,C]."""
    if wkv.dim() == 4:
        return wkv.flatten(2)
    numerator, denominator, _ = wkv.unbind(1)  # both scaled by the same exponent
    return (numerator / denominator).nan_to_num().unsqueeze(1)


@functools.lru_cache(maxsize=4)
def _signs(rows: int) -> Tensor:
    """-1 and 1, int8 [rows, DIMENSIONS]; fewer rows are the beginning of more."""
    data = hashlib.shake_256(_SEED).digest(rows * DIMENSIONS // 8)
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(np.int8)
    return torch.from_numpy(bits * 2 - 1).view(rows, DIMENSIONS)
