"""What a sequence may not say, by what it has said: allowed ids, bad words and `min_tokens`."""

from collections.abc import Sequence

import numpy as np

from server.engine.chooser import Mask
from server.engine.messages import Sampling


class Restrictions:
    """Of one sequence; stop_ids are held back for `min_tokens` tokens."""

    def __init__(self, sampling: Sampling, stop_ids: frozenset[int]) -> None:
        self._min_tokens = sampling.min_tokens
        self._stop_ids = sorted(stop_ids)
        self._bad = sampling.bad_words
        self._allowed = sampling.allowed_ids
        self._mask: Mask | None = None
        self._recent: list[int] = []
        self._longest = max(map(len, self._bad), default=0)
        self._count = 0

    @property
    def holds_stops(self) -> bool:
        return self._count < self._min_tokens

    def mask(self, given: Mask | None, vocab_size: int) -> Mask | None:
        """`given`, and of it only the allowed ids where some are listed; see Chooser.choose."""
        if self._allowed is None:
            return given
        if self._mask is None:
            self._mask = packed(self._allowed, vocab_size)
        return self._mask if given is None else self._mask & given

    def banned(self, *, stops: bool = True) -> list[int]:
        """Ids that would complete a bad word, and the stops that are held back."""
        held = self._stop_ids if stops and self.holds_stops else []
        return [*held, *(word[-1] for word in self._bad if self._follows(word[:-1]))]

    def _follows(self, start: Sequence[int]) -> bool:
        return not start or self._recent[-len(start) :] == list(start)

    def push(self, token: int) -> None:
        """Go on behind a token that was chosen."""
        self._count += 1
        if self._longest > 1:
            self._recent = [*self._recent, token][-(self._longest - 1) :]


def packed(ids: Sequence[int], vocab_size: int) -> Mask:
    """Bits of ids, as Chooser.choose takes them."""
    bits = np.zeros((vocab_size + 31) // 32 * 32, dtype=np.uint8)
    bits[list(ids)] = 1
    return np.packbits(bits, bitorder="little").view("<i4").astype(np.int32, copy=False)
