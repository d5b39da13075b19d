"""How likely tokens were: log-probabilities from the logits that came with a step.

float32 as the logits are, over all ids but the vocabulary's padding, which is never sampled.
"""

import logging
from collections.abc import Iterator
from collections.abc import Sequence as Seq

import torch
from torch import Tensor

from models.native import sampler
from models.native.library import available
from server.engine.messages import TokenLogprob
from server.engine.scheduler import Feed
from server.engine.sequence import Sequence

log = logging.getLogger(__name__)

Scores = tuple[TokenLogprob | None, ...]


def score(
    logits: Tensor, tokens: Seq[int], alternatives: int, forbidden: Tensor
) -> list[TokenLogprob]:
    """Of every token, after the logits [T,V] in its row; forbidden: ids of padding, int64 [M]."""
    native = available() and logits.device.type == "cpu"
    scored = (sampler.score if native else score_on_torch)(logits, tokens, alternatives, forbidden)
    if scored is None:
        raise ValueError("the logits are not finite, or every id is forbidden")
    return [
        TokenLogprob(token, logprob, tuple(zip(ids, values, strict=True)))
        for token, logprob, ids, values in zip(tokens, *scored, strict=True)
    ]


def score_on_torch(
    logits: Tensor, tokens: Seq[int], alternatives: int, forbidden: Tensor
) -> tuple[list[float], list[list[int]], list[list[float]]] | None:
    """The slow twin of models.native.sampler.score."""
    masked = logits.index_fill(1, forbidden.to(logits.device), -torch.inf)
    logprobs = masked.log_softmax(1)
    if bool(logprobs.isnan().any()):
        return None
    ids = torch.tensor(tokens, dtype=torch.int64, device=logits.device)
    chosen: list[float] = logprobs.gather(1, ids[:, None])[:, 0].tolist()
    best, best_ids = logprobs.topk(min(alternatives, logprobs.shape[1] - len(forbidden)), 1)
    return chosen, best_ids.tolist(), best.tolist()


def score_sampled(sequence: Sequence, token: int, forbidden: Tensor) -> TokenLogprob | None:
    """Of a token chosen from the sequence's logits, if that is asked for."""
    alternatives = sequence.submit.logprobs
    if alternatives is None or sequence.logits is None:
        return None
    return score(sequence.logits[None], (token,), alternatives, forbidden)[0]


def score_prompts(
    feeds: Seq[Feed], logits: Tensor, forbidden: Tensor
) -> Iterator[tuple[Sequence, Scores | None]]:
    """Of what a step fed to the prompts that are scored; None where it cannot be done.

    Called before the step is accounted for. logits [T,V] after every token of all feeds.
    """
    rows = logits.split_with_sizes([feed.count for feed in feeds])
    for feed, own in zip(feeds, rows, strict=True):
        if not feed.sequence.scored:
            continue
        try:
            scores = _score_prompt(feed.sequence, own, forbidden)
        except Exception:
            log.exception("a prompt could not be scored")
            yield feed.sequence, None
        else:
            yield feed.sequence, scores


def _score_prompt(sequence: Sequence, logits: Tensor, forbidden: Tensor) -> Scores:
    """Of the pending tokens that a step fed, from the logits [T,V] after each of them.

    The first token's logits are those of the step before. A state without logits, such as none
    at all, has nothing that precedes it.
    """
    tokens = sequence.pending[: len(logits)]
    alternatives = sequence.submit.prompt_logprobs or 0
    rest = score(logits[:-1], tokens[1:], alternatives, forbidden)
    before = sequence.logits
    if before is None or not before.numel():
        return (None, *rest)
    return (*score(before[None], tokens[:1], alternatives, forbidden), *rest)
