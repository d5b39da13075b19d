"""What one step feeds: every decoding sequence one token, prompts within a budget."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass

from server.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Feed:
    """`count` pending tokens of `sequence` go into the step."""

    sequence: Sequence
    count: int


def schedule(sequences: Seq[Sequence], prefill_budget: int) -> list[Feed]:
    """Decoding sequences first, then prompts, at most `prefill_budget` tokens of them.

    The oldest prompt is sure of half the budget; the rest goes to the shortest remaining
    prompts, so that a short follow-up does not wait behind a long document and the document
    still advances with every step. No feed crosses a piece, and so none a boundary.
    """
    feeds = [Feed(s, 1) for s in sequences if s.decoding]
    prompts = sorted((s for s in sequences if s.pending and not s.decoding), key=lambda s: s.order)
    if not prompts:
        return feeds
    oldest, others = prompts[0], sorted(prompts[1:], key=lambda s: len(s.pending))
    share = max(1, prefill_budget // 2) if others else prefill_budget
    reserved = min(len(oldest.pending), share)
    left = prefill_budget - reserved
    counts: list[Feed] = []
    for sequence in others:
        count = min(len(sequence.pending), left)
        if count:
            counts.append(Feed(sequence, count))
            left -= count
    return [*feeds, Feed(oldest, min(len(oldest.pending), reserved + left)), *counts]
