"""RWKV-4 "Dove" (Pile, Raven, the first World models): its time-mix, in plain torch.

Formulas and tensor names: BlinkDL/ChatRWKV and its `rwkv` package; paper: arXiv 2305.13048.
Shape letters: see models/base.py. There are no heads: the wkv state of a layer is [3,C], the
sums aa and bb and the exponent pp that both are scaled by (models/wkv4.py).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models import wkv4
from models.base import State
from models.layers import GatedChannelMix, Network, Step, Weights, gated_channel_mix


@dataclass(frozen=True, slots=True)
class TimeMix:
    """One block's time-mix. `mix` [3,1,C]: share of the token before in k, v and r."""

    mix: Tensor
    key: Tensor
    value: Tensor
    receptance: Tensor
    output: Tensor
    log_decay: Tensor
    bonus: Tensor

    def __call__(self, x: Tensor, step: Step, shift: Tensor, wkv: Tensor) -> Tensor:
        xk, xv, xr = torch.addcmul(x, step.batch.shift(x, shift) - x, self.mix)
        k, v = F.linear(xk, self.key).float(), F.linear(xv, self.value).float()
        inputs = wkv4.WkvInputs(k, v, self.log_decay, self.bonus)
        y = step.batch.recur(inputs, wkv, wkv4.step, wkv4.scan)
        return F.linear(F.linear(xr, self.receptance).sigmoid() * y.to(x.dtype), self.output)


class Rwkv4(Network):
    """A loaded RWKV-4 checkpoint; implements models.base.Model."""

    def new_state(self, batch: int) -> State:
        state = super().new_state(batch)
        state.wkv[:, :, 2] = wkv4.EMPTY
        return state

    def _wkv_shape(self) -> tuple[int, ...]:
        return 3, self.spec.width

    def _time_mix(self, weights: Weights) -> TimeMix:
        return TimeMix(
            mix=1 - weights.stack([f"time_mix_{letter}" for letter in "kvr"]),
            key=weights["key.weight"],
            value=weights["value.weight"],
            receptance=weights["receptance.weight"],
            output=weights["output.weight"],
            log_decay=-weights.vector("time_decay").exp(),
            bonus=weights.vector("time_first"),
        )

    def _channel_mix(self, weights: Weights) -> GatedChannelMix:
        return gated_channel_mix(weights, 1 - weights.stack(["time_mix_k", "time_mix_r"]))
