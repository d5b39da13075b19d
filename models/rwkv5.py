"""RWKV-5 "Eagle", in its versions 5.0, 5.1 and 5.2: its time-mix, in plain torch.

Formulas and tensor names: BlinkDL/ChatRWKV and its `rwkv` package; paper: arXiv 2404.05892.
Shape letters: see models/base.py. The versions differ in what is there: 5.1 brought the gate,
5.2 a decay and a bonus for every channel instead of every head.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models import wkv56
from models.layers import GatedChannelMix, HeadNorm, Network, Step, Weights, gated_channel_mix


@dataclass(frozen=True, slots=True)
class TimeMix:
    """One block's time-mix; decay and bonus are [H,N] float32.

    mix [3,1,C] or [4,1,C]: share of the token before in k, v, r and, with a gate, g.
    """

    mix: Tensor
    key: Tensor
    value: Tensor
    receptance: Tensor
    gate: Tensor | None
    output: Tensor
    decay: Tensor
    bonus: Tensor
    ln_x: HeadNorm

    def __call__(self, x: Tensor, step: Step, shift: Tensor, wkv: Tensor) -> Tensor:
        mixed = torch.addcmul(x, step.batch.shift(x, shift) - x, self.mix)
        pairs = ((mixed[0], self.key), (mixed[1], self.value), (mixed[2], self.receptance))
        k, v, r = (F.linear(*pair).float().view(-1, *self.decay.shape) for pair in pairs)
        inputs = wkv56.WkvInputs(r, self.decay.expand_as(k), k, v, self.bonus)
        y = self.ln_x(step.batch.recur(inputs, wkv, wkv56.step, wkv56.scan)).to(x.dtype)
        if self.gate is not None:
            y = y * F.silu(F.linear(mixed[-1], self.gate))
        return F.linear(y, self.output)


class Rwkv5(Network):
    """A loaded RWKV-5.0, 5.1 or 5.2 checkpoint; implements models.base.Model."""

    def _time_mix(self, weights: Weights) -> TimeMix:
        gated = "gate.weight" in weights
        mixed = "kvrg" if gated else "kvr"
        return TimeMix(
            mix=1 - weights.stack([f"time_mix_{letter}" for letter in mixed]),
            key=weights["key.weight"],
            value=weights["value.weight"],
            receptance=weights["receptance.weight"],
            gate=weights["gate.weight"] if gated else None,
            output=weights["output.weight"],
            decay=self._by_channel((-weights.vector("time_decay").exp()).exp()),
            bonus=self._by_channel(_bonus(weights)),
            ln_x=weights.head_norm("ln_x"),
        )

    def _by_channel(self, values: Tensor) -> Tensor:
        """One value for every head or for every channel → [H,N]."""
        repeats = self.spec.width // len(values)
        return values.view(self.spec.heads, -1).repeat(1, repeats)

    def _channel_mix(self, weights: Weights) -> GatedChannelMix:
        return gated_channel_mix(weights, 1 - weights.stack(["time_mix_k", "time_mix_r"]))


def _bonus(weights: Weights) -> Tensor:
    """u, which early files hold as its logarithm under another name."""
    if "time_faaaa" in weights:
        return weights.vector("time_faaaa")
    return weights.vector("time_first").exp()
