"""RWKV-7 in the form that trains: whole rows at once, parameters under the official names.

Legend: B rows, T tokens, C width, H heads, N head size, D low rank, V vocabulary.
Documents are packed into rows; `keep` [B,T] is 0 at the first token of each document, where the
wkv state and both token shifts start from zero. Matrix products run in bfloat16, everything else
in float32. Formulae: RWKV-7 "Goose" (arXiv 2503.14456); names and initial values: RWKV-LM,
RWKV-v7/train_temp.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.gosling.wkv import wkv

DECAY_SCALE = -math.exp(-0.5)
GROUP_NORM_EPS = 64e-5


@dataclass(frozen=True, slots=True)
class Sizes:
    """The shape of a network. `gate_rank` is the rank of g, `rank` that of w, a and v."""

    vocabulary: int
    width: int = 128
    layers: int = 6
    head_size: int = 64
    rank: int = 32
    gate_rank: int = 32
    hidden: int = 4

    @property
    def heads(self) -> int:
        return self.width // self.head_size


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x times weight^T in bfloat16, returned in float32."""
    return F.linear(x.bfloat16(), weight.bfloat16()).float()


def shifted(x: Tensor, keep: Tensor) -> Tensor:
    """The token before each token, zero where a document starts. [B,T,C]"""
    return F.pad(x, (0, 0, 1, -1)) * keep.unsqueeze(-1)


def vector(width: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(1, 1, width))


def matrix(rows: int, columns: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(rows, columns))


class TimeMix(nn.Module):
    """The time-mix of one layer. v0, v1 and v2 exist from the second layer on."""

    def __init__(self, sizes: Sizes, layer: int) -> None:
        super().__init__()
        width, rank, gate_rank = sizes.width, sizes.rank, sizes.gate_rank
        self.heads, self.head_size = sizes.heads, sizes.head_size
        self.x_r, self.x_w, self.x_k = vector(width), vector(width), vector(width)
        self.x_v, self.x_a, self.x_g = vector(width), vector(width), vector(width)
        self.w0, self.w1, self.w2 = vector(width), matrix(width, rank), matrix(rank, width)
        self.a0, self.a1, self.a2 = vector(width), matrix(width, rank), matrix(rank, width)
        if layer > 0:
            self.v0, self.v1, self.v2 = vector(width), matrix(width, rank), matrix(rank, width)
        self.g1, self.g2 = matrix(width, gate_rank), matrix(gate_rank, width)
        self.k_k, self.k_a = vector(width), vector(width)
        self.r_k = matrix(sizes.heads, sizes.head_size)
        self.receptance = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.ln_x = nn.GroupNorm(sizes.heads, width, eps=GROUP_NORM_EPS)

    def forward(self, x: Tensor, keep: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor]:
        """x [B,T,C] and the first layer's v -> the output [B,T,C] and the first layer's v."""
        (r, w, k, v, a, b), g, first = self.project(x, shifted(x, keep), first)
        y = wkv(r, w, k, v, a, b, keep)
        return self.finish(y, r, k, v, g), first

    def project(
        self, x: Tensor, before: Tensor, first: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Everything ahead of the recurrence: (r, w, k, v, a, b) [B,T,H,N], g [B,T,C], first."""
        dx = before - x
        r = linear(x + dx * self.x_r, self.receptance.weight)
        w = torch.exp(DECAY_SCALE * torch.sigmoid(self.w0 + self._decay(x + dx * self.x_w)))
        k = linear(x + dx * self.x_k, self.key.weight)
        xv = x + dx * self.x_v
        v = linear(xv, self.value.weight)
        a = torch.sigmoid(self.a0 + low_rank(x + dx * self.x_a, self.a1, self.a2))
        g = linear(torch.sigmoid(linear(x + dx * self.x_g, self.g1.T)), self.g2.T)
        if first is None:
            first = v
        else:
            v = v + (first - v) * torch.sigmoid(self.v0 + low_rank(xv, self.v1, self.v2))
        kk = F.normalize(self._split(k * self.k_k), dim=-1, p=2.0)
        k = k * (1 + (a - 1) * self.k_a)
        r, w, k, v, a = (self._split(t) for t in (r, w, k, v, a))
        return (r, w, k, v, -kk, kk * a), g, first

    def finish(self, y: Tensor, r: Tensor, k: Tensor, v: Tensor, g: Tensor) -> Tensor:
        """Everything after the recurrence: [B,T,H,N] and g [B,T,C] -> [B,T,C]."""
        y = F.layer_norm(y, (self.head_size,), eps=GROUP_NORM_EPS).flatten(-2)
        y = y * self.ln_x.weight + self.ln_x.bias
        bonus = (r * k * self.r_k).sum(dim=-1, keepdim=True) * v
        return linear((y + bonus.flatten(-2)) * g, self.output.weight)

    def _decay(self, x: Tensor) -> Tensor:
        return linear(torch.tanh(linear(x, self.w1.T)), self.w2.T)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, self.head_size)


def low_rank(x: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """x [..,C] through down [C,D] and up [D,C]."""
    return linear(linear(x, down.T), up.T)


class ChannelMix(nn.Module):
    """The channel-mix of one layer."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        hidden = sizes.hidden * sizes.width
        self.x_k = nn.Parameter(torch.empty(1, 1, sizes.width))
        self.key = nn.Linear(sizes.width, hidden, bias=False)
        self.value = nn.Linear(hidden, sizes.width, bias=False)

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        """x [B,T,C] -> [B,T,C]."""
        hidden = linear(x + (shifted(x, keep) - x) * self.x_k, self.key.weight)
        return linear(torch.relu(hidden) ** 2, self.value.weight)


class Block(nn.Module):
    """One layer: time-mix and channel-mix, each behind a layer norm and added to x."""

    def __init__(self, sizes: Sizes, layer: int) -> None:
        super().__init__()
        if layer == 0:
            self.ln0 = nn.LayerNorm(sizes.width)
        self.ln1 = nn.LayerNorm(sizes.width)
        self.ln2 = nn.LayerNorm(sizes.width)
        self.att = TimeMix(sizes, layer)
        self.ffn = ChannelMix(sizes)

    def forward(self, x: Tensor, keep: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor]:
        mixed, first = self.att(self.ln1(x), keep, first)
        x = x + mixed
        return x + self.ffn(self.ln2(x), keep), first


class Network(nn.Module):
    """The language model. Call `initialise` before training a fresh one."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.emb = nn.Embedding(sizes.vocabulary, sizes.width)
        self.layers = [Block(sizes, layer) for layer in range(sizes.layers)]
        self.blocks = nn.ModuleList(self.layers)
        self.ln_out = nn.LayerNorm(sizes.width)
        self.head = nn.Linear(sizes.width, sizes.vocabulary, bias=False)

    def forward(self, tokens: Tensor, keep: Tensor) -> Tensor:
        """tokens [B,T] int64, keep [B,T] fp32 -> logits [B,T,V]."""
        x = self.layers[0].ln0(self.emb(tokens))
        first = None
        for block in self.layers:
            x, first = block(x, keep, first)
        return linear(self.ln_out(x), self.head.weight)

    def loss(self, tokens: Tensor, keep: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        """The mean cross entropy of the targets, weighted, in nats; all inputs [B,T]."""
        logits = self(tokens, keep).flatten(0, 1)
        losses = F.cross_entropy(logits, targets.flatten(), reduction="none")
        return (losses * weight.flatten()).sum() / weight.sum()
