"""One choice at a time, where an engine makes those of all sequences at once."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from models.base import Logits
from server.engine.chooser import Chooser, Mask, choose
from server.engine.sampler import Sampler


def chosen(
    chooser: Chooser,
    logits: Tensor | Logits,
    mask: Mask | None,
    banned: Sequence[int],
    random: float,
) -> int | None:
    choice = chooser.ask(np.asarray(logits), mask, banned, random)
    choose([choice])
    return choice.token


def sampled(sampler: Sampler, logits: Tensor, mask: Mask | None = None) -> int | None:
    choice = sampler.ask(logits.numpy(), mask)
    choose([choice])
    return sampler.take(choice)
