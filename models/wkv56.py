"""The recurrence of RWKV-5 and RWKV-6 in plain torch: token by token, one step, and in chunks.

Per head, with the state S [key,value] in float32, decay w and bonus u per key channel:
    y = (S + (u∘k)·vᵀ)ᵀ·r        S ← diag(w)·S + k·vᵀ
Source: "Eagle and Finch" (arXiv 2404.05892). w is constant in 5 and depends on the token in 6.

w = exp(−exp(…)) may be as small as float32 can hold, so nothing may be divided by a product of
decays. The chunked form never is: it joins neighbouring pieces of 1, 2, 4, … tokens. Where an
early and a late piece meet, the late tokens read what the early ones wrote through
    r ∘ (decays since the late piece began)  ·  k ∘ (decays until the early piece ended),
two factors of at most 1 that are products of few decays each, whatever lies elsewhere.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.ragged import ChunkPlan


@dataclass(frozen=True, slots=True)
class WkvInputs:
    """One layer's recurrence inputs, float32: r, w, k, v [T,H,N] by token, u [H,N] for all."""

    r: Tensor
    w: Tensor
    k: Tensor
    v: Tensor
    u: Tensor

    def part(self, start: int, stop: int) -> "WkvInputs":
        """Tokens `start` to `stop`."""
        r, w, k, v = (tensor[start:stop] for tensor in (self.r, self.w, self.k, self.v))
        return WkvInputs(r, w, k, v, self.u)


def step(inputs: WkvInputs, state: Tensor) -> Tensor:
    """One token for each of B sequences: state [B,H,N,N] is updated in place; y [B,H,N]."""
    r, k, v = inputs.r, inputs.k, inputs.v
    read = (r.unsqueeze(-2) @ state).squeeze(-2)
    y = read + (r * inputs.u * k).sum(-1, keepdim=True) * v
    state.mul_(inputs.w.unsqueeze(-1)).addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))
    return y


def scan_by_token(inputs: WkvInputs, state: Tensor) -> Tensor:
    """The slow twin of `scan`: T tokens of one sequence, state [1,H,N,N] updated in place."""
    return torch.cat([step(inputs.part(t, t + 1), state) for t in range(len(inputs.r))])


def scan(inputs: WkvInputs, state: Tensor, plan: ChunkPlan) -> Tensor:
    """All tokens of all sequences in `plan`, in chunks: y [T',H,N], T' from plan.first_token.

    state [B,H,N,N]: the rows in plan.rows are updated in place. plan.size is a power of two.
    """
    r, k, v = (plan.split(t).transpose(1, 2) for t in (inputs.r, inputs.k, inputs.v))
    w = plan.split(inputs.w, padding=1).transpose(1, 2)  # [K,H,c,N], as the others
    y = (r * inputs.u.unsqueeze(-2) * k).sum(-1, keepdim=True) * v
    decay = _within_chunks(r, w, k, v, y)
    y += r @ _across_chunks(state, plan, decay, k.mT @ v)
    return plan.join(y.transpose(1, 2))


def _within_chunks(r: Tensor, w: Tensor, k: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """Add to y [K,H,c,N] what tokens read of earlier ones in their chunk.

    In place, r is multiplied by the decays since its chunk began and k by those until it ends.
    Returns the decay over each whole chunk [K,H,N,1].
    """
    length = 1
    while length < r.shape[2]:
        late_r, late_y = (_pairs(t, length)[:, :, :, 1] for t in (r, y))
        early_k, early_v = (_pairs(t, length)[:, :, :, 0] for t in (k, v))
        late_y += _products(late_r, early_k) @ early_v
        early_w, late_w = _pairs(w, 1).squeeze(-2).unbind(3)
        late_r *= early_w.unsqueeze(-2)
        early_k *= late_w.unsqueeze(-2)
        w = early_w * late_w
        length *= 2
    return w.mT


def _pairs(tensor: Tensor, length: int) -> Tensor:
    """A view of neighbouring pieces, the early and the late: [K,H,c,N] → [K,H,c/2l,2,l,N]."""
    return tensor.view(*tensor.shape[:2], -1, 2, length, tensor.shape[-1])


def _products(r: Tensor, k: Tensor) -> Tensor:
    """r·kᵀ over the last two dimensions; a sum where these are single rows, which are many."""
    return (r * k).sum(-1, keepdim=True) if r.shape[-2] == 1 else r @ k.mT


def _across_chunks(state: Tensor, plan: ChunkPlan, decay: Tensor, added: Tensor) -> Tensor:
    """Walk the chunks in order: the state before each chunk [K,H,N,N]."""
    current = state[plan.rows]
    starts = torch.empty_like(added)
    first = 0
    for alive in plan.active:
        part = slice(first, first + alive)
        starts[part] = current[:alive]
        current[:alive] = current[:alive] * decay[part] + added[part]
        first += alive
    state[plan.rows] = current
    return starts
