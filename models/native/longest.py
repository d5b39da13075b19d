"""The longest entries of a vocabulary in a text, in the native library.

The slow twin is models.tokenizer.longest.LongestMatch, which finds the same.
"""

import weakref
from collections.abc import Mapping
from ctypes import byref, c_int32, c_int64
from itertools import accumulate

from models.native.library import library


class NativeLongestMatch:
    """Safe to call from several threads. Made only where the library is available."""

    def __init__(self, ids: Mapping[bytes, int]) -> None:
        """ids: of each entry, 0 to 2³¹ - 1."""
        loaded = library()
        assert loaded is not None
        self._encode = loaded.rwkv_trie_encode
        entries = sorted(ids)
        ends = (c_int64 * (len(entries) + 1))(*accumulate(map(len, entries), initial=0))
        sorted_ids = (c_int32 * len(entries))(*(ids[entry] for entry in entries))
        self._handle = loaded.rwkv_trie_new(b"".join(entries), ends, sorted_ids, len(entries))
        if not self._handle:
            raise MemoryError("there is not enough memory for the vocabulary")
        weakref.finalize(self, loaded.rwkv_trie_free, self._handle)

    def match(self, data: bytes) -> tuple[list[int], int]:
        """See models.tokenizer.longest.LongestMatch.match."""
        ids, end = (c_int32 * len(data))(), c_int64()
        count = self._encode(self._handle, data, len(data), ids, byref(end))
        return ids[:count], end.value
