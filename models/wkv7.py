"""The recurrence of RWKV-7 in plain torch: token by token, one decode step, and in chunks.

Per head, with the state S [value,key] in float32 and kk a unit vector:
    S ← S·diag(w) − (S·kk)(kk∘a)ᵀ + v·kᵀ        y = S·r
Source: RWKV-7 "Goose" (arXiv 2503.14456) and rwkv_v7_numpy.py of the RWKV-LM repository.

The chunked form is the same sum unrolled over c tokens. With W_t = w_1∘…∘w_t,
    u_t = −S_{t−1}·kk_t,     S_t = (S_0 + Σ_{s≤t} u_s (b_s/W_s)ᵀ + v_s (k_s/W_s)ᵀ) diag(W_t)
where b = kk∘a, so the u_t of a chunk solve one unit lower triangular system. Everything but
the step from chunk to chunk is a batched matrix product over all chunks at once.
w ≥ exp(−0.6065), so 1/W stays below 1e17 for c = 64 and float32 neither overflows nor loses
relative precision.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.ragged import ChunkPlan


@dataclass(frozen=True, slots=True)
class WkvInputs:
    """One layer's recurrence inputs, float32, each [T,H,N]; `log_w` is the log of the decay."""

    r: Tensor
    log_w: Tensor
    k: Tensor
    v: Tensor
    kk: Tensor
    b: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.r, self.log_w, self.k, self.v, self.kk, self.b

    def part(self, start: int, stop: int) -> "WkvInputs":
        """Tokens `start` to `stop`."""
        return WkvInputs(*(tensor[start:stop] for tensor in self.tensors))


def step(inputs: WkvInputs, state: Tensor) -> Tensor:
    """One token for each of B sequences: state [B,H,N,N] is updated in place; y [B,H,N]."""
    size = inputs.r.shape[-1]
    flat = state.view(-1, size, size)
    u = -torch.bmm(flat, inputs.kk.reshape(-1, size, 1))
    flat *= inputs.log_w.exp().reshape(-1, 1, size)
    columns = torch.cat((u, inputs.v.reshape(-1, size, 1)), dim=2)
    rows = torch.stack((inputs.b.reshape(-1, size), inputs.k.reshape(-1, size)), dim=1)
    flat.baddbmm_(columns, rows)
    return torch.bmm(flat, inputs.r.reshape(-1, size, 1)).view(inputs.r.shape)


def scan_by_token(inputs: WkvInputs, state: Tensor) -> Tensor:
    """The slow twin of `scan`: T tokens of one sequence, state [1,H,N,N] updated in place."""
    return torch.cat([step(inputs.part(t, t + 1), state) for t in range(len(inputs.r))])


def scan(inputs: WkvInputs, state: Tensor, plan: ChunkPlan) -> Tensor:
    """All tokens of all sequences in `plan`, in chunks: y [T',H,N], T' from plan.first_token.

    state [B,H,N,N]: the rows in plan.rows are updated in place.
    """
    # Padding is all zero, which leaves the state as it is; all are [K,H,c,N].
    r, log_w, k, v, kk, b = (plan.split(t).transpose(1, 2) for t in inputs.tensors)
    decay = log_w.cumsum(dim=2)
    grow = (-decay).exp()
    r_in, kk_in = r * decay.exp(), kk * (decay - log_w).exp()
    b_out, k_out = b * grow, k * grow
    system = (kk_in @ b_out.mT).tril(-1)
    right = torch.cat((kk_in, (kk_in @ k_out.mT).tril(-1) @ v), dim=-1)
    solved = torch.linalg.solve_triangular(system, right, upper=False, unitriangular=True)
    from_state, from_values = solved.split(r.shape[-1], dim=-1)
    starts, u = _across_chunks(
        state, plan, from_state, from_values, b_out, k_out, v, decay[:, :, -1:].exp()
    )
    y = r_in @ starts.mT + (r_in @ b_out.mT).tril() @ u + (r_in @ k_out.mT).tril() @ v
    return plan.join(y.transpose(1, 2))


def _across_chunks(
    state: Tensor,
    plan: ChunkPlan,
    from_state: Tensor,
    from_values: Tensor,
    b_out: Tensor,
    k_out: Tensor,
    v: Tensor,
    decay: Tensor,
) -> tuple[Tensor, Tensor]:
    """Walk the chunks in order: the state before each chunk [K,H,N,N], and its u [K,H,c,N]."""
    current = state[plan.rows]
    starts = torch.empty(len(v), *current.shape[1:], dtype=current.dtype, device=current.device)
    u = torch.empty_like(v)
    first = 0
    for alive in plan.active:
        part = slice(first, first + alive)
        before = current[:alive]
        starts[part] = before
        u[part] = -(from_state[part] @ before.mT + from_values[part])
        added = u[part].mT @ b_out[part] + v[part].mT @ k_out[part]
        current[:alive] = (before + added) * decay[part]
        first += alive
    state[plan.rows] = current
    return starts, u
