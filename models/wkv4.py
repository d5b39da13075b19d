"""The recurrence of RWKV-4 in plain torch: token by token, one step, and in chunks.

Every channel is a mean of all values so far, weighted by exp(key) and fading by w = −exp(…) ≤ 0
per token in the logarithm; the newest value has the bonus u instead:
    y_t = (Σ_{s<t} e^{k_s + (t−1−s)w}·v_s + e^{u + k_t}·v_t) / (the same sum without v)
Source: arXiv 2305.13048 and the `rwkv` package.

The sums are kept as aa·e^pp and bb·e^pp, so that no exponent above 0 is ever taken. To join two
such sums, the earlier one faded by the tokens of the later one, is associative: the chunked form
joins neighbouring pieces of 1, 2, 4, … tokens, over all chunks at once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.ragged import ChunkPlan

EMPTY = -1e30  # pp of a sum without terms, as in the reference: e^(EMPTY − anything else) is 0


@dataclass(frozen=True, slots=True)
class WkvInputs:
    """One layer's recurrence inputs, float32: k, v [T,C] by token, w, u [C] for all."""

    k: Tensor
    v: Tensor
    w: Tensor
    u: Tensor

    def part(self, start: int, stop: int) -> "WkvInputs":
        """Tokens `start` to `stop`."""
        return WkvInputs(self.k[start:stop], self.v[start:stop], self.w, self.u)


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of values aa·e^pp and of weights bb·e^pp, one for each element [...,C]."""

    aa: Tensor
    bb: Tensor
    pp: Tensor

    @classmethod
    def of_tokens(cls, k: Tensor, v: Tensor) -> "Sums":
        return cls(v, torch.ones_like(k), k)

    @classmethod
    def unstack(cls, stacked: Tensor) -> "Sums":
        return cls(*stacked.unbind(-2))

    def stack(self) -> Tensor:
        """[...,3,C], as a state has them."""
        return torch.stack((self.aa, self.bb, self.pp), dim=-2)

    def times(self, exponent: Tensor) -> "Sums":
        """Both sums times e^exponent."""
        return Sums(self.aa, self.bb, self.pp + exponent)

    def join(self, other: "Sums") -> "Sums":
        pp = torch.maximum(self.pp, other.pp)
        one, two = (self.pp - pp).exp(), (other.pp - pp).exp()
        return Sums(one * self.aa + two * other.aa, one * self.bb + two * other.bb, pp)

    def mean(self) -> Tensor:
        return self.aa / self.bb


def step(inputs: WkvInputs, state: Tensor) -> Tensor:
    """One token for each of B sequences: state [B,3,C] is updated in place; y [B,C]."""
    before, token = Sums.unstack(state), Sums.of_tokens(inputs.k, inputs.v)
    y = before.join(token.times(inputs.u)).mean()
    state.copy_(before.times(inputs.w).join(token).stack())
    return y


def scan_by_token(inputs: WkvInputs, state: Tensor) -> Tensor:
    """The slow twin of `scan`: T tokens of one sequence, state [1,3,C] updated in place."""
    return torch.cat([step(inputs.part(t, t + 1), state) for t in range(len(inputs.k))])


def scan(inputs: WkvInputs, state: Tensor, plan: ChunkPlan) -> Tensor:
    """All tokens of all sequences in `plan`, in chunks: y [T',C], T' from plan.first_token.

    state [B,3,C]: the rows in plan.rows are updated in place. plan.size is a power of two.
    """
    # Padding adds nothing to any sum, and no fading: only tokens are counted.
    k, v = plan.split(inputs.k, padding=EMPTY), plan.split(inputs.v)  # [K,c,C]
    count = plan.split(torch.ones_like(inputs.k[:, :1])).cumsum(1)  # [K,c,1]
    tokens = Sums.of_tokens(k, v)
    within = _within_chunks(tokens, count, inputs.w)
    faded = count * inputs.w
    starts = _across_chunks(state, plan, within[:, -1], faded[:, -1])
    begun = Sums.unstack(starts.unsqueeze(1)).times(faded).join(Sums.unstack(within)).stack()
    before = Sums.unstack(torch.cat((starts.unsqueeze(1), begun[:, :-1]), dim=1))
    return plan.join(before.join(tokens.times(inputs.u)).mean())


def _within_chunks(tokens: Sums, count: Tensor, w: Tensor) -> Tensor:
    """The sums from the beginning of each chunk up to each of its tokens [K,c,3,C]."""
    sums = tokens.stack()
    length = 1
    while length < sums.shape[1]:
        early, late = _pairs(sums, length)
        early_count, late_count = _pairs(count, length)
        fading = (late_count - early_count[:, :, -1:]) * w
        joined = Sums.unstack(early[:, :, -1:]).times(fading).join(Sums.unstack(late))
        late.copy_(joined.stack())
        length *= 2
    return sums


def _pairs(tensor: Tensor, length: int) -> tuple[Tensor, ...]:
    """Views of neighbouring pieces, early and late: [K,c,…] → two of [K,c/2l,l,…]."""
    return tensor.view(len(tensor), -1, 2, length, *tensor.shape[2:]).unbind(2)


def _across_chunks(state: Tensor, plan: ChunkPlan, added: Tensor, fading: Tensor) -> Tensor:
    """Walk the chunks in order: the sums before each chunk [K,3,C]."""
    current = state[plan.rows]
    starts = torch.empty_like(added)
    first = 0
    for alive in plan.active:
        part = slice(first, first + alive)
        starts[part] = current[:alive]
        before = Sums.unstack(starts[part]).times(fading[part])
        current[:alive] = before.join(Sums.unstack(added[part])).stack()
        first += alive
    state[plan.rows] = current
    return starts
