"""A text as the longest entries of a vocabulary, from its start on, in plain Python.

This is how World-format vocabularies encode (`rwkv_tokenizer.py` of
https://github.com/BlinkDL/ChatRWKV). models.native.longest does it some twenty times as fast.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

_SINGLE = (1,)


class Matcher(Protocol):
    """Finds entries in bytes; safe to call from several threads at once."""

    def match(self, data: bytes) -> tuple[list[int], int]:
        """Ids of the longest entries in turn, and the place where none fits, or the end."""


class LongestMatch:
    """The `Matcher` that needs no library."""

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        self._ids = ids
        self._lengths = _lengths_by_prefix(ids)

    def match(self, data: bytes) -> tuple[list[int], int]:
        """See `Matcher.match`."""
        ids: list[int] = []
        at = 0
        while at < len(data):
            length = self._longest(data, at)
            if not length:
                break
            ids.append(self._ids[data[at : at + length]])
            at += length
        return ids, at

    def _longest(self, data: bytes, at: int) -> int:
        """How long the longest entry at `at` is; 0 without one."""
        for length in self._lengths.get(data[at : at + 2], _SINGLE):
            found = data[at : at + length]  # shorter at the end
            if found in self._ids:
                return len(found)
        return 0


def _lengths_by_prefix(ids: Mapping[bytes, int]) -> dict[bytes, tuple[int, ...]]:
    """Two first bytes → lengths of the entries that start so, longest first, then 1."""
    lengths: defaultdict[bytes, set[int]] = defaultdict(lambda: {1})
    for entry in ids:
        if len(entry) > 1:
            lengths[entry[:2]].add(len(entry))
    return {prefix: tuple(sorted(found, reverse=True)) for prefix, found in lengths.items()}
