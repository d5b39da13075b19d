"""Guesses of a sequence's next tokens, and what a step computed of them beforehand.

A step that reads all weights for one token has them for a few more. Where a text repeats itself,
the tokens that follow are looked up in what the sequence was fed, fed with the last sampled one,
and kept as far as sampling chooses them too: so the answer is the one there would have been.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from models.base import Logits, State

_GRAM = 3  # ids that must have stood in a row before
LONGEST_PAST = 4096  # ids that are searched
_WEIGHT = 0.25  # of the last guess in the rate
_CONFIDENT = 0.6


class Drafter:
    """Looks up what followed the last ids when they were there before, at the latest time.

    A guess is made for every token and compared with the one that comes, which costs nothing;
    only while most come true are they handed out.
    """

    def __init__(self, past: Sequence[int]) -> None:
        self._ids: list[int] = []
        self._next: dict[tuple[int, ...], int] = {}  # where the id behind these ids stands
        self._found: int | None = None
        self._rate = 0.0  # of late, of guesses that came true
        for token in past[-LONGEST_PAST:]:
            self.push(token)
        self._rate = 0.0  # what is read says nothing of what is written

    def push(self, token: int) -> None:
        """One more id of the sequence."""
        ids = self._ids
        if self._found is not None:
            self._rate += _WEIGHT * ((ids[self._found] == token) - self._rate)
        self._next[tuple(ids[-_GRAM:])] = len(ids)
        ids.append(token)
        self._found = self._next.get(tuple(ids[-_GRAM:]))

    def draft(self, most: int) -> tuple[int, ...]:
        """The next ids, if they can be guessed well."""
        if self._found is None or self._rate < _CONFIDENT:
            return ()
        return tuple(self._ids[self._found : self._found + most])


@dataclass(slots=True)
class Ahead:
    """A sequence whose slot was fed `ids` that nobody has sampled yet; logits [len(ids),V].

    state, before: the slot's state and the sequence's logits before the step. tail: what it was
    fed since then and has been sampled. fed: how many of its unrecorded ids came before.
    """

    state: State
    before: Logits | None
    fed: int
    tail: tuple[int, ...]
    ids: tuple[int, ...]
    logits: Logits
