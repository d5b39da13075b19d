"""The sampling state of one sequence, independent of its neighbours.

How a token is chosen from logits is written in server/engine/chooser.py. That is OpenAI's order
(temperature before top_p); the RWKV reference sampler cuts top_p before temperature.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from server.engine.chooser import Mask, chooser
from server.engine.messages import Sampling
from server.engine.restrictions import Restrictions


class Sampler:
    """A sequence's random numbers, its token counts, and what it may not say yet.

    forbidden: ids that must never be sampled (a vocabulary's padding), int64 [M].
    stop_ids: what `min_tokens` holds back.
    """

    def __init__(
        self, sampling: Sampling, forbidden: Tensor, stop_ids: frozenset[int] = frozenset()
    ) -> None:
        self._chooser = chooser(sampling, forbidden)
        self._random = random.Random(str(sampling.seed))  # of an int it drops the sign
        self._restrictions = Restrictions(sampling, stop_ids)

    def sample(self, logits: Tensor, mask: Mask | None = None) -> int | None:
        """Choose from float32 logits [V] on the host, which are left as they are.

        mask: see Chooser.choose; what it alone leaves may stop the answer before `min_tokens`.
        None where nothing may be said. Raises ValueError for logits that are not finite.
        """
        restrictions, drawn = self._restrictions, self._random.random()
        mask = restrictions.mask(mask, len(logits))
        token = self._chooser.choose(logits, mask, restrictions.banned(), drawn)
        if token is None and restrictions.holds_stops:
            token = self._chooser.choose(logits, mask, restrictions.banned(stops=False), drawn)
        if token is not None:
            restrictions.push(token)
        elif not bool(logits.max().isfinite()):  # the largest is NaN where any is
            raise ValueError("the logits are not finite")
        return token


def forbidden_tensor(ids: Sequence[int]) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.int64)
