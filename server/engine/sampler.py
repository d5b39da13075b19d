"""The sampling state of one sequence, independent of its neighbours.

How a token is chosen from logits is written in server/engine/chooser.py. That is OpenAI's order
(temperature before top_p); the RWKV reference sampler cuts top_p before temperature.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.base import Logits
from server.engine.chooser import Choice, Mask, choose, chooser
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
        self._asked: _Asked | None = None

    def ask(self, logits: Logits, mask: Mask | None = None) -> Choice:
        """The next choice, from logits [V]; see Chooser.ask.

        mask: what it alone leaves may stop the answer before `min_tokens`.
        """
        mask = self._restrictions.mask(mask, len(logits))
        self._asked = asked = _Asked(logits, mask, self._random.random())
        return self._chooser.ask(logits, mask, self._restrictions.banned(), asked.random)

    def take(self, choice: Choice) -> int | None:
        """The token, or None where nothing may be said, once the choice last asked for was made.

        Raises ValueError for logits that are not finite.
        """
        asked, restrictions, token = self._asked, self._restrictions, choice.token
        assert asked is not None
        if token is None and restrictions.holds_stops:
            banned = restrictions.banned(stops=False)
            choice = self._chooser.ask(asked.logits, asked.mask, banned, asked.random)
            choose([choice])
            token = choice.token
        if token is not None:
            restrictions.push(token)
        elif not bool(np.isfinite(asked.logits.max())):  # the largest is NaN where any is
            raise ValueError("the logits are not finite")
        self._asked = None
        return token


@dataclass(frozen=True, slots=True)
class _Asked:
    logits: Logits
    mask: Mask | None
    random: float


def forbidden_tensor(ids: Sequence[int]) -> Tensor:
    return torch.tensor(list(ids), dtype=torch.int64)
