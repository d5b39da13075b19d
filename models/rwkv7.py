"""RWKV-7 "Goose": its time-mix and channel-mix, in plain torch.

Formulas and tensor names: BlinkDL/RWKV-LM (RWKV-v7/rwkv_v7_numpy.py, rwkv_v7_demo.py);
paper: arXiv 2503.14456. Shape letters: see models/base.py.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models import wkv7
from models.layers import HeadNorm, LowRank, Network, Step, Weights
from models.ragged import RaggedBatch

LOG_DECAY_SCALE = 0.606531  # exp(-0.5): log w = -0.606531·sigmoid(…), as in the reference


@dataclass(frozen=True, slots=True)
class TimeMix:
    """One block's time-mix. `mix` [6,1,C] stacks x_r, x_w, x_k, x_v, x_a, x_g."""

    mix: Tensor
    receptance: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    decay: LowRank
    rate: LowRank
    residual: LowRank | None
    gate_down: Tensor
    gate_up: Tensor
    k_k: Tensor
    k_a: Tensor
    r_k: Tensor
    ln_x: HeadNorm

    def __call__(self, x: Tensor, step: Step, shift: Tensor, wkv: Tensor) -> Tensor:
        xr, xw, xk, xv, xa, xg = torch.addcmul(x, step.batch.shift(x, shift) - x, self.mix)
        r, k = (F.linear(*pair).float() for pair in ((xr, self.receptance), (xk, self.key)))
        v = self._values(xv, step)
        rate = self.rate(xa).sigmoid()
        heads, size = self.r_k.shape
        kk = F.normalize((k * self.k_k).view(-1, heads, size), dim=-1)
        k = k * (1 + (rate - 1) * self.k_a)
        log_w = -LOG_DECAY_SCALE * self.decay(xw, tanh=True).sigmoid()
        r, log_w, k, v, rate = (t.view(-1, heads, size) for t in (r, log_w, k, v, rate))
        inputs = wkv7.WkvInputs(r, log_w, k, v, kk, kk * rate)
        y = self.ln_x(step.batch.recur(inputs, wkv, wkv7.step, wkv7.scan))
        y = y + ((r * k * self.r_k).sum(-1, keepdim=True) * v).flatten(1)
        gate = (xg @ self.gate_down).sigmoid() @ self.gate_up
        return F.linear(y.to(gate.dtype) * gate, self.output)

    def _values(self, xv: Tensor, step: Step) -> Tensor:
        """v [T,C] float32; in later layers it is pulled to that of layer 0."""
        v = F.linear(xv, self.value).float()
        if step.v_first is None:
            step.v_first = v
        elif self.residual is not None:
            v = torch.lerp(v, step.v_first, self.residual(xv).sigmoid())
        return v


@dataclass(frozen=True, slots=True)
class ChannelMix:
    """One block's channel-mix: relu(mixed·keyᵀ)²·valueᵀ; key [F,C], value [C,F]."""

    mix: Tensor
    key: Tensor
    value: Tensor

    def __call__(self, x: Tensor, batch: RaggedBatch, shift: Tensor) -> Tensor:
        mixed = torch.addcmul(x, batch.shift(x, shift) - x, self.mix)
        return F.linear(F.linear(mixed, self.key).relu_().square_(), self.value)


class Rwkv7(Network):
    """A loaded RWKV-7 checkpoint; implements models.base.Model."""

    rescales = False

    def _time_mix(self, weights: Weights) -> TimeMix:
        is_first = weights.prefix == "blocks.0.att."
        return TimeMix(
            mix=weights.stack([f"x_{letter}" for letter in "rwkvag"]),
            receptance=weights["receptance.weight"],
            key=weights["key.weight"],
            value=weights["value.weight"],
            output=weights["output.weight"],
            decay=weights.low_rank("w0", "w1", "w2"),
            rate=weights.low_rank("a0", "a1", "a2"),
            residual=None if is_first else weights.low_rank("v0", "v1", "v2"),
            gate_down=weights["g1"],
            gate_up=weights["g2"],
            k_k=weights.vector("k_k"),
            k_a=weights.vector("k_a"),
            r_k=weights.vector("r_k").view(self.spec.heads, self.spec.head_size),
            ln_x=weights.head_norm("ln_x"),
        )

    def _channel_mix(self, weights: Weights) -> ChannelMix:
        mix = weights["x_k"].flatten()
        return ChannelMix(mix, weights["key.weight"], weights["value.weight"])
