"""Muon on the large matrices, AdamW on the rest, over one flat buffer of parameters.

Parameters and gradients are views of two flat fp32 tensors, large matrices first, so that one
all-reduce, one clip and one copy serve the whole network.
Sources: Keller Jordan, "Muon: An optimizer for hidden layers" (2024); Loshchilov and Hutter,
arXiv 1711.05101.
"""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

LARGE = re.compile(r"\.(att\.(receptance|key|value|output)|ffn\.(key|value))\.weight$")
DECAY_BASE = re.compile(r"\.att\.w0$")
# The quintic of the Newton-Schulz iteration: steep at zero, flat around one.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


@dataclass(frozen=True, slots=True)
class Rates:
    muon: float = 0.008
    momentum: float = 0.95
    muon_decay: float = 0.02
    adam: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-18
    clip: float = 1.0


class Optimizer:
    """Owns the flat buffers; `gradients` is where backward passes add theirs."""

    def __init__(self, network: nn.Module, rates: Rates) -> None:
        self._rates = rates
        named = sorted(network.named_parameters(), key=lambda x: not LARGE.search(x[0]))
        self.weights = torch.cat([p.detach().flatten() for _, p in named])
        self.gradients = torch.zeros_like(self.weights)
        self._large = sum(p.numel() for name, p in named if LARGE.search(name))
        self._momentum = torch.zeros_like(self.weights[: self._large])
        self._mean = torch.zeros_like(self.weights[self._large :])
        self._square = torch.zeros_like(self._mean)
        self._scale = torch.ones_like(self._mean)
        self._shapes: list[tuple[int, torch.Size]] = []
        self._attach(named)

    def _attach(self, named: list[tuple[str, nn.Parameter]]) -> None:
        start = 0
        for name, p in named:
            stop = start + p.numel()
            p.data = self.weights[start:stop].view(p.shape)
            p.grad = self.gradients[start:stop].view(p.shape)
            if LARGE.search(name):
                self._shapes.append((start, p.shape))
            elif DECAY_BASE.search(name):
                self._scale[start - self._large : stop - self._large] = 2.0
            start = stop

    def state(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint must hold, live."""
        return {
            "weights": self.weights,
            "momentum": self._momentum,
            "mean": self._mean,
            "square": self._square,
        }

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    @torch.no_grad()
    def step(self, count: int, multiplier: float) -> float:
        """One update from `gradients`, which it empties; `count` is 1 at the first. Returns the
        norm of the gradient before clipping."""
        norm = float(self.gradients.norm())
        self.gradients.mul_(min(1.0, self._rates.clip / (norm + 1e-12)))
        self._muon(multiplier)
        self._adam(count, multiplier)
        self.gradients.zero_()
        return norm

    def _muon(self, multiplier: float) -> None:
        rates, rate = self._rates, self._rates.muon * multiplier
        gradient = self.gradients[: self._large]
        self._momentum.lerp_(gradient, 1 - rates.momentum)
        update = gradient.lerp(self._momentum, rates.momentum)
        weights = self.weights[: self._large]
        weights.mul_(1 - rate * rates.muon_decay)
        for shape in dict.fromkeys(shape for _, shape in self._shapes):
            places = [start for start, each in self._shapes if each == shape]
            matrices = torch.stack([_matrix(update, start, shape) for start in places])
            scale = rate * math.sqrt(max(1.0, shape[0] / shape[1]))
            for start, new in zip(places, orthogonal(matrices), strict=True):
                _matrix(weights, start, shape).sub_(new, alpha=scale)

    def _adam(self, count: int, multiplier: float) -> None:
        rates, gradient = self._rates, self.gradients[self._large :]
        first, second = rates.betas
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        root = (self._square / (1 - second**count)).sqrt_().add_(rates.eps)
        rate = rates.adam * multiplier / (1 - first**count)
        self.weights[self._large :].sub_(self._mean / root * self._scale, alpha=rate)


def _matrix(flat: Tensor, start: int, shape: torch.Size) -> Tensor:
    return flat[start : start + shape.numel()].view(shape)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices of [n,rows,columns], roughly, in bfloat16 inside."""
    x: Tensor = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT.contiguous()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    turned: Tensor = x.mT if tall else x
    return turned.to(matrices.dtype)
