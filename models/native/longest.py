"""The longest entries of a vocabulary in a text, in the native library.

The slow twin is models.tokenizer.longest.LongestMatch, which finds the same.
"""

import ctypes
import weakref
from collections.abc import Mapping
from itertools import accumulate

import numpy as np

from models.native.library import Integers, Words, library


class NativeLongestMatch:
    """Safe to call from several threads. Made only where the library is available."""

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        """ids: of each entry, 0 to 2³¹ - 1."""
        loaded = library()
        assert loaded is not None
        self._encode = loaded.rwkv_trie_encode
        entries = sorted(ids)
        ends = np.fromiter(accumulate(map(len, entries), initial=0), dtype=np.int64)
        sorted_ids = np.fromiter((ids[entry] for entry in entries), dtype=np.int32)
        self._handle = loaded.rwkv_trie_new(
            b"".join(entries),
            ends.ctypes.data_as(Integers),
            sorted_ids.ctypes.data_as(Words),
            len(entries),
        )
        if not self._handle:
            raise MemoryError("there is not enough memory for the vocabulary")
        weakref.finalize(self, loaded.rwkv_trie_free, self._handle)

    def match(self, data: bytes) -> tuple[list[int], int]:
        """See models.tokenizer.longest.LongestMatch.match."""
        ids = np.empty(len(data), dtype=np.int32)
        end = ctypes.c_int64()
        count = self._encode(
            self._handle, data, len(data), ids.ctypes.data_as(Words), ctypes.byref(end)
        )
        return ids[:count].tolist(), end.value
