"""RWKV-6 "Finch": its time-mix, in plain torch.

Formulas and tensor names: BlinkDL/ChatRWKV and its `rwkv` package; paper: arXiv 2404.05892.
Shape letters: see models/base.py. Decay and token shift depend on the token.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models import wkv56
from models.layers import (
    GatedChannelMix,
    HeadNorm,
    LowRank,
    Network,
    Step,
    Weights,
    gated_channel_mix,
)


@dataclass(frozen=True, slots=True)
class DynamicMix:
    """Token shift by shares that depend on the token: x, x_prev [T,C] → five inputs [5,T,C].

    first [C] mixes what the shares are computed from, base [5,1,C] is what they vary around;
    down [C,5D], up [5,D,C]. The five are w, k, v, r, g.
    """

    first: Tensor
    base: Tensor
    down: Tensor
    up: Tensor

    def __call__(self, x: Tensor, previous: Tensor) -> Tensor:
        change = previous - x
        inner = torch.addcmul(x, change, self.first) @ self.down
        shares = inner.tanh().view(len(x), *self.up.shape[:2]).transpose(0, 1) @ self.up
        return torch.addcmul(x, change, self.base + shares)


@dataclass(frozen=True, slots=True)
class TimeMix:
    """One block's time-mix; `bonus` is [H,N] float32."""

    mix: DynamicMix
    decay: LowRank
    key: Tensor
    value: Tensor
    receptance: Tensor
    gate: Tensor
    output: Tensor
    bonus: Tensor
    ln_x: HeadNorm

    def __call__(self, x: Tensor, step: Step, shift: Tensor, wkv: Tensor) -> Tensor:
        xw, xk, xv, xr, xg = self.mix(x, step.batch.shift(x, shift))
        w = (-self.decay(xw, tanh=True).exp()).exp()
        pairs = ((xr, self.receptance), (xk, self.key), (xv, self.value))
        r, k, v = (F.linear(*pair).float() for pair in pairs)
        r, w, k, v = (t.view(-1, *self.bonus.shape) for t in (r, w, k, v))
        inputs = wkv56.WkvInputs(r, w, k, v, self.bonus)
        y = self.ln_x(step.batch.recur(inputs, wkv, wkv56.step, wkv56.scan)).to(x.dtype)
        return F.linear(y * F.silu(F.linear(xg, self.gate)), self.output)


class Rwkv6(Network):
    """A loaded RWKV-6 checkpoint; implements models.base.Model."""

    def _time_mix(self, weights: Weights) -> TimeMix:
        mix = DynamicMix(
            first=weights["time_maa_x"].flatten(),
            base=weights.stack([f"time_maa_{letter}" for letter in "wkvrg"]),
            down=weights["time_maa_w1"],
            up=weights["time_maa_w2"],
        )
        return TimeMix(
            mix=mix,
            decay=weights.low_rank("time_decay", "time_decay_w1", "time_decay_w2"),
            key=weights["key.weight"],
            value=weights["value.weight"],
            receptance=weights["receptance.weight"],
            gate=weights["gate.weight"],
            output=weights["output.weight"],
            bonus=weights.vector("time_faaaa").view(self.spec.heads, self.spec.head_size),
            ln_x=weights.head_norm("ln_x"),
        )

    def _channel_mix(self, weights: Weights) -> GatedChannelMix:
        return gated_channel_mix(weights, weights.stack(["time_maa_k", "time_maa_r"]))
