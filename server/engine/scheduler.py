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
    still advances with every step. Prompts of a later priority get what is left of the budget.
    No feed crosses a piece, and so none a boundary.
    """
    feeds = [Feed(s, 1) for s in sequences if s.decoding]
    prompts = [s for s in sequences if s.pending and not s.decoding]
    for priority in sorted({s.priority for s in prompts}):
        if prefill_budget:
            shares = _share([s for s in prompts if s.priority == priority], prefill_budget)
            prefill_budget -= sum(feed.count for feed in shares)
            feeds += shares
    return feeds


def _share(prompts: Seq[Sequence], prefill_budget: int) -> list[Feed]:
    """Of a budget of one token or more, among one prompt or more."""
    prompts = sorted(prompts, key=lambda s: s.order)
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
    return [Feed(oldest, min(len(oldest.pending), reserved + left)), *counts]
