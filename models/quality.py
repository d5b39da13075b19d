"""How far a number format moves a model's predictions on given text.

For every token of the text but the first, the distribution before it (over V tokens) is compared
with that of a reference: perplexity of the text, KL(reference ‖ model) in nats, and how often both
name the same most likely token.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.base import Model, State

CHUNK = 256  # tokens whose logits [CHUNK,V] are held at a time

Progress = Callable[[int, int], None]
"""Called with (tokens compared, tokens in all)."""


@dataclass(frozen=True, slots=True)
class Quality:
    """tokens: predictions compared; kl: mean in nats; agreement: share between 0 and 1."""

    tokens: int
    perplexity: float
    kl: float
    agreement: float


@dataclass(slots=True)
class _Sums:
    tokens: int = 0
    loss: float = 0.0
    kl: float = 0.0
    agreeing: int = 0

    def add(self, reference: Tensor, logits: Tensor, targets: Tensor) -> None:
        """reference, logits [T,V]; targets [T]. Sums are taken in float64."""
        wanted, given = (it.cpu().double().log_softmax(-1) for it in (reference, logits))
        self.tokens += len(targets)
        self.loss -= float(given.gather(1, targets[:, None]).sum())
        self.kl += float((wanted.exp() * (wanted - given)).sum())
        self.agreeing += int((wanted.argmax(-1) == given.argmax(-1)).sum())

    def mean(self) -> Quality:
        count = max(self.tokens, 1)
        perplexity = math.exp(self.loss / count)
        return Quality(self.tokens, perplexity, self.kl / count, self.agreeing / count)


@torch.inference_mode()
def compare(
    model: Model,
    reference: Model,
    texts: Sequence[Sequence[int]],
    progress: Progress = lambda done, total: None,
) -> Quality:
    """Over all `texts`, each read from an empty state; both models know the same tokens."""
    sums = _Sums()
    total = sum(max(len(text) - 1, 0) for text in texts)
    for text in texts:
        pairs = zip(_logits(reference, text), _logits(model, text), strict=True)
        for (start, wanted), (_, given) in pairs:
            targets = torch.tensor(text[start + 1 : start + 1 + len(wanted)])
            sums.add(wanted, given, targets)
            progress(sums.tokens, total)
    return sums.mean()


def _logits(model: Model, text: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """(index of the first, logits [T,V] after T tokens) for all tokens but the last."""
    state = model.new_state(1)
    for start in range(0, len(text) - 1, CHUNK):
        yield start, _after_each(model, text[start : min(start + CHUNK, len(text) - 1)], state)


def _after_each(model: Model, tokens: Sequence[int], state: State) -> Tensor:
    return model.forward(torch.tensor(tokens), [len(tokens)], state, every=True)
