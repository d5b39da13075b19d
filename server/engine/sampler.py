"""From logits to the next token, one sequence at a time and independent of its neighbours.

Order: penalties, bias, mask, temperature, top_k, top_p, min_p, draw. That is OpenAI's order
(temperature before top_p); the RWKV reference sampler cuts top_p before temperature.
"""

import random
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from server.engine.messages import Sampling

_HEAD = 512  # candidates looked at before a full sort; nearly always enough for top_p


class Sampler:
    """The sampling state of one sequence: its random numbers and its token counts.

    forbidden: ids that must never be sampled (a vocabulary's padding), int64 [M].
    """

    def __init__(self, sampling: Sampling, forbidden: Tensor) -> None:
        self._sampling = sampling
        self._forbidden = forbidden
        self._random = random.Random(str(sampling.seed))  # of an int it drops the sign
        self._counts: Tensor | None = None
        ids, biases = zip(*sampling.logit_bias, strict=True) if sampling.logit_bias else ((), ())
        self._bias_ids = torch.tensor(ids, dtype=torch.int64)
        self._biases = torch.tensor(biases, dtype=torch.float32)

    def sample(self, logits: Tensor, mask: NDArray[np.int32] | None = None) -> int:
        """Choose from float32 logits [V] on the host, which are left as they are.

        mask: bits, int32 [ceil(V/32)], of the only ids to choose from.
        """
        adjusted = self._adjust(logits)
        if mask is not None:
            adjusted[~_unpacked(mask, len(logits))] = -torch.inf
        if not bool(adjusted.max().isfinite()):  # the largest is NaN where any is
            raise ValueError("the logits are not finite, or every id is forbidden")
        token = self._greedy(adjusted) if self._sampling.temperature == 0 else self._draw(adjusted)
        self._count(token, len(logits))
        return token

    def _adjust(self, logits: Tensor) -> Tensor:
        sampling = self._sampling
        adjusted = logits.clone()
        if self._counts is not None:
            seen = self._counts > 0
            if sampling.repetition_penalty != 1:
                harder = torch.where(
                    adjusted > 0,
                    adjusted / sampling.repetition_penalty,
                    adjusted * sampling.repetition_penalty,
                )
                adjusted = torch.where(seen, harder, adjusted)
            adjusted -= sampling.presence_penalty * seen
            adjusted -= sampling.frequency_penalty * self._counts
        adjusted[self._bias_ids] += self._biases
        adjusted[self._forbidden] = -torch.inf
        return adjusted

    def _count(self, token: int, vocab_size: int) -> None:
        sampling = self._sampling
        if (
            sampling.presence_penalty == 0
            and sampling.frequency_penalty == 0
            and sampling.repetition_penalty == 1
        ):
            return
        if self._counts is None:
            self._counts = torch.zeros(vocab_size)
        self._counts *= sampling.penalty_decay
        self._counts[token] += 1

    def _greedy(self, logits: Tensor) -> int:
        return int(logits.argmax())

    def _draw(self, logits: Tensor) -> int:
        sampling = self._sampling
        # The largest logit is moved to 0 first, so that no temperature can overflow.
        scaled = (logits - logits.max()) / sampling.temperature
        if sampling.top_k == 1:
            return self._greedy(logits)
        if 0 < sampling.top_k < len(scaled):
            kept, ids = scaled.topk(sampling.top_k)
            return int(ids[self._draw_sorted(kept.double().softmax(0))])
        probabilities = scaled.double().softmax(0)
        if sampling.top_p >= 1 and sampling.min_p <= 0:
            return self._pick(probabilities)
        head, ids = probabilities.topk(min(_HEAD, len(probabilities)))
        cut_later = float(head[-1]) >= sampling.min_p * float(head[0])
        if float(head.sum()) < sampling.top_p and cut_later:
            head, ids = probabilities.sort(descending=True)
        return int(ids[self._draw_sorted(head)])

    def _draw_sorted(self, probabilities: Tensor) -> int:
        """Draw from falling probabilities after top_p and min_p; the first always remains."""
        sampling = self._sampling
        before = probabilities.cumsum(0) - probabilities
        allowed = (before < sampling.top_p) & (probabilities >= sampling.min_p * probabilities[0])
        allowed[0] = True
        return self._pick(probabilities * allowed)

    def _pick(self, probabilities: Tensor) -> int:
        cumulated = probabilities.cumsum(0)
        target = self._random.random() * float(cumulated[-1])
        index = int(torch.searchsorted(cumulated, target, right=True))
        if index < len(probabilities):
            return index
        return int(probabilities.nonzero()[-1])


def _unpacked(mask: NDArray[np.int32], count: int) -> Tensor:
    """The first `count` bits, bool [count]; the first of them is the lowest of the first word."""
    octets = mask.astype("<i4", copy=False).view(np.uint8)
    return torch.from_numpy(np.unpackbits(octets, count=count, bitorder="little")).bool()


def forbidden_tensor(ids: Sequence[int]) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.int64)
