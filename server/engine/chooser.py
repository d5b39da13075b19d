"""From logits to one token: what is asked for, and how torch does it.

Order: penalties, bias, masks, temperature, top_k, top_p, min_p, typical_p, draw. The arithmetic is
laid down to the bit, so that the native library (models/native/src/sample.cpp) chooses the same
ids: single operations of float32, weights that are multiples of 2^-34, and so exact sums of them.
Ranks are by weight, ties by the lower id; the draw goes through the ids in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.base import Logits
from models.native.library import available
from models.native.sampler import NativeChoice, NativeChooser
from models.native.sampler import choose as choose_natively
from models.native.team import Team
from server.engine.messages import Sampling

Mask = NDArray[np.int32]

_LEAST = -30.0  # exp of it is a weight of 0
_FINE = 2.0**-11  # below it float32 is finer than 2^-34
_QUANTUM = 2.0**-34
_TERMS = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)


class Choice(Protocol):
    """One that is asked for."""

    @property
    def token(self) -> int | None:
        """The id, once `choose` has made the choice; None where the logits are not finite or
        nothing is left to choose."""
        ...


class Chooser(Protocol):
    """The options of one sequence, and how often it has chosen each id."""

    def ask(
        self, logits: Logits, mask: Mask | None, banned: Sequence[int], random: float
    ) -> Choice:
        """A choice from logits [V], which are left as they are.

        mask: packed bits, int32 [ceil(V/32)], of the only ids to choose from; bit i % 32 of word
        i // 32 is id i. banned: ids not to choose this time. random: in [0, 1). Neither logits nor
        mask may change before the choice is made, which has to be before the next is asked for.
        """
        ...


def choose(choices: Sequence[Choice], team: Team | None = None) -> None:
    """Make choices that were asked of different choosers, on the threads of a team if there is one.

    What is chosen depends on neither the others nor the threads.
    """
    native = [choice for choice in choices if isinstance(choice, NativeChoice)]
    if native:
        choose_natively(native, team)


def team(threads: int) -> Team | None:
    """For `choose`, where the library can be used and it takes more than the caller's thread."""
    return Team(threads) if threads > 1 and available() else None


def chooser(sampling: Sampling, forbidden: Tensor) -> Chooser:
    """The native one where the library can be used; forbidden: ids never chosen, int64 [M]."""
    if not available():
        return TorchChooser(sampling, forbidden)
    penalties = (sampling.presence_penalty, sampling.frequency_penalty)
    cuts = (sampling.top_p, sampling.top_k, sampling.min_p, sampling.typical_p)
    more = (sampling.repetition_penalty, sampling.penalty_decay)
    options = (sampling.temperature, *cuts, *penalties, *more)
    return NativeChooser(options, sampling.logit_bias, forbidden)


@dataclass(frozen=True, slots=True)
class Made:
    """A choice that was made when it was asked for."""

    token: int | None


class TorchChooser:
    """The slow twin of models.native.sampler.NativeChooser."""

    def __init__(self, sampling: Sampling, forbidden: Tensor) -> None:
        self._sampling = sampling
        self._forbidden = forbidden
        self._counts: Tensor | None = None
        ids, biases = zip(*sampling.logit_bias, strict=True) if sampling.logit_bias else ((), ())
        self._bias_ids = torch.tensor(ids, dtype=torch.int64)
        self._biases = torch.tensor(biases, dtype=torch.float64)

    def ask(
        self, logits: Logits, mask: Mask | None, banned: Sequence[int], random: float
    ) -> Choice:
        """See Chooser; the choice is made at once."""
        return Made(self._choose(torch.from_numpy(logits), mask, banned, random))

    def _choose(
        self, logits: Tensor, mask: Mask | None, banned: Sequence[int], random: float
    ) -> int | None:
        adjusted = self._adjust(logits)
        adjusted[list(banned)] = -torch.inf
        if mask is not None:
            adjusted[~_unpacked(mask, len(logits))] = -torch.inf
        top = adjusted.max()
        if not bool(top.isfinite()):  # the largest is NaN where any is
            return None
        sampling = self._sampling
        greedy = sampling.temperature == 0 or sampling.top_k == 1
        token = int((adjusted == top).nonzero()[0]) if greedy else self._draw(adjusted, top, random)
        self._count(token, len(logits))
        return token

    def _adjust(self, logits: Tensor) -> Tensor:
        sampling = self._sampling
        adjusted = logits.clone()
        if self._counts is not None:
            seen = self._counts > 0
            wide, by = adjusted[seen].double(), sampling.repetition_penalty
            wide = torch.where(wide > 0, wide / by, wide * by)
            wide = wide - sampling.presence_penalty
            wide = wide - sampling.frequency_penalty * self._counts[seen]
            adjusted[seen] = wide.float()
        adjusted[self._bias_ids] = (adjusted[self._bias_ids].double() + self._biases).float()
        adjusted[self._forbidden] = -torch.inf
        return adjusted

    def _count(self, token: int, vocab_size: int) -> None:
        sampling = self._sampling
        neutral = sampling.presence_penalty == 0 and sampling.frequency_penalty == 0
        if neutral and sampling.repetition_penalty == 1:
            return
        if self._counts is None:
            self._counts = torch.zeros(vocab_size, dtype=torch.float64)
        self._counts *= sampling.penalty_decay
        self._counts[token] += 1

    def _draw(self, adjusted: Tensor, top: Tensor, random: float) -> int:
        sampling = self._sampling
        # The largest logit is moved to 0 first, so that no temperature can overflow.
        inverse = torch.tensor(min(1.0 / sampling.temperature, 1e38), dtype=torch.float32)
        scaled = (adjusted - top) * inverse
        weights = _weights(scaled)
        if 0 < sampling.top_k < len(weights):
            _keep(weights, -weights, torch.ones_like(weights), sampling.top_k)
        if sampling.top_p < 1:
            _keep(weights, -weights, weights, sampling.top_p * float(weights.sum()))
        if sampling.min_p > 0:
            weights[weights < float(np.float32(min(sampling.min_p, 1.0)))] = 0
        if sampling.typical_p < 1:
            kept = weights > 0
            total = float(weights.sum())
            expected = float((weights[kept] * scaled[kept].double()).cumsum(0)[-1]) / total
            rank = (scaled.double() - expected).abs()
            rank[~kept] = torch.inf
            _keep(weights, rank, weights, sampling.typical_p * total)
        return _pick(weights, random)


def _weights(scaled: Tensor) -> Tensor:
    """exp of scaled logits (at most 0), rounded to multiples of 2^-34, as float64 [V].

    A power of two times a series of seven terms, to 1e-7.
    """
    x = scaled.clamp(min=_LEAST)
    k = (x * _single(1.44269504)).round()
    r = x - k * _single(0.693359375)
    r = r - k * _single(-2.12194440e-4)
    total = r * _single(1 / 5040) + _single(_TERMS[0])
    for term in _TERMS[1:]:
        total = total * r + _single(term)
    weights = total * ((k.to(torch.int32) + 127) << 23).view(torch.float32)
    return torch.where(weights < _FINE, (weights + _FINE) - _FINE, weights).double()


def _single(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float32)


def _keep(weights: Tensor, rank: Tensor, mass: Tensor, target: float) -> None:
    """Zero all but the first by rank (the lower is the better) with less than `target` before."""
    order = rank.sort(stable=True).indices
    ordered = mass[order]
    kept = ordered.cumsum(0) - ordered < target
    kept[0] = True
    weights[order[~kept]] = 0


def _pick(weights: Tensor, random: float) -> int:
    cumulated = weights.cumsum(0)
    total = float(cumulated[-1])
    target = min(random * total, total - _QUANTUM)
    return int(torch.searchsorted(cumulated, target, right=True))


def _unpacked(mask: Mask, count: int) -> Tensor:
    """The first `count` bits, bool [count]."""
    octets = mask.astype("<i4", copy=False).view(np.uint8)
    return torch.from_numpy(np.unpackbits(octets, count=count, bitorder="little")).bool()
