"""How likely tokens were: log-probabilities from the logits that came with a step.

float32 as the logits are, over all ids but the vocabulary's padding, which is never sampled.
"""

import logging
from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import replace
from math import isnan

import torch
from torch import Tensor

from models.native import scores
from models.native.library import available
from models.native.team import Team
from server.engine.messages import TokenLogprob
from server.engine.scheduler import Feed
from server.engine.sequence import Sequence

log = logging.getLogger(__name__)

Scores = tuple[TokenLogprob | None, ...]


def score(
    logits: Seq[Tensor],
    tokens: Seq[int],
    alternatives: int,
    forbidden: Tensor,
    team: Team | None = None,
) -> list[TokenLogprob | None]:
    """Of every token, after its logits [V]; None where these are not finite, or all are forbidden.

    forbidden: ids of padding, int64 [M].
    """
    if not logits:
        return []
    if available() and logits[0].device.type == "cpu":
        scored = scores.score(logits, tokens, alternatives, forbidden, team)
    else:
        scored = score_on_torch(logits, tokens, alternatives, forbidden)
    return [
        None if isnan(logprob) else TokenLogprob(token, logprob, tuple(zip(ids, best, strict=True)))
        for token, logprob, ids, best in zip(tokens, *scored, strict=True)
    ]


def score_on_torch(
    logits: Seq[Tensor], tokens: Seq[int], alternatives: int, forbidden: Tensor
) -> tuple[list[float], list[list[int]], list[list[float]]]:
    """The slow twin of models.native.scores.score."""
    masked = torch.stack(list(logits))
    masked[:, forbidden.to(masked.device)] = -torch.inf
    logprobs = masked.log_softmax(1)
    logprobs[logprobs.isnan().any(1)] = torch.nan
    ids = torch.tensor(tokens, dtype=torch.int64, device=masked.device)
    chosen: list[float] = logprobs.gather(1, ids[:, None])[:, 0].tolist()
    best, best_ids = logprobs.topk(min(alternatives, logprobs.shape[1] - len(forbidden)), 1)
    return chosen, best_ids.tolist(), best.tolist()


def score_sampled(
    sampled: Seq[tuple[Sequence, int]], forbidden: Tensor, team: Team | None
) -> list[TokenLogprob | None]:
    """Of tokens chosen from the sequences' logits, beside as many others as each asks for."""
    rows = [sequence.logits for sequence, _ in sampled if sequence.logits is not None]
    logits = [torch.from_numpy(row) for row in rows]
    wanted = [sequence.submit.logprobs or 0 for sequence, _ in sampled]
    tokens = [token for _, token in sampled]
    found = score(logits, tokens, max(wanted, default=0), forbidden, team)
    return [
        one and replace(one, top=one.top[:alternatives])
        for one, alternatives in zip(found, wanted, strict=True)
    ]


def score_prompts(
    feeds: Seq[Feed], logits: Tensor, forbidden: Tensor, team: Team | None
) -> Iterator[tuple[Sequence, Scores | None]]:
    """Of what a step fed to the prompts that are scored; None where it cannot be done.

    Called before the step is accounted for. logits [T,V] after every token of all feeds.
    """
    rows = logits.split_with_sizes([feed.count for feed in feeds])
    for feed, own in zip(feeds, rows, strict=True):
        if not feed.sequence.scored:
            continue
        try:
            found = _score_prompt(feed.sequence, own, forbidden, team)
        except Exception:
            log.exception("a prompt could not be scored")
            yield feed.sequence, None
        else:
            yield feed.sequence, found


def _score_prompt(
    sequence: Sequence, logits: Tensor, forbidden: Tensor, team: Team | None
) -> Scores:
    """Of the pending tokens that a step fed, from the logits [T,V] after each of them.

    The first token's logits are those of the step before. A state without logits, such as none
    at all, has nothing that precedes it.
    """
    tokens = sequence.pending[: len(logits)]
    alternatives = sequence.submit.prompt_logprobs or 0
    before = sequence.logits
    first = () if before is None or not before.size else (torch.from_numpy(before),)
    scored = [
        *score(first, tokens[:1], alternatives, forbidden),
        *score(logits[:-1].unbind(), tokens[1:], alternatives, forbidden, team),
    ]
    if None in scored:
        raise ValueError("the logits are not finite")
    return tuple(scored) if first else (None, *scored)
