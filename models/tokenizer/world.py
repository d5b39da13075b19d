"""The World vocabulary: 65,529 entries, ids 1 to 65,529; id 0 ends the text.

Encoding is done by the Rust package `pyrwkv-tokenizer` (Apache-2.0), whose wheel also carries the
vocabulary file. Its decoder is not used: it panics on a part of a character and on padding ids.
"""

from collections.abc import Iterator
from functools import cache
from importlib.resources import as_file, files
from itertools import chain

from pyrwkv_tokenizer import RWKVTokenizer  # type: ignore[import-untyped]

from models.tokenizer.base import TableTokenizer, TokenizerError, as_utf8
from models.tokenizer.vocabulary import read_vocabulary, vocabulary_fingerprint

WORLD_NAME = "rwkv_vocab_v20230424"
WORLD_FINGERPRINT = "0eb79b4b093307a0001602e24e49c7906c0073c79f420e84cb8f891de2dd1460"

_SLICE = 16_384  # bytes, about 8 ms; the package keeps the GIL while it encodes


class WorldTokenizer(TableTokenizer):
    """Made once per process by `world()`, since the table takes a moment to read."""

    def __init__(self) -> None:
        super().__init__(WORLD_NAME, WORLD_FINGERPRINT, world_entries())
        self._rust = RWKVTokenizer()
        self._longest = max(map(len, self._table.values()))

    def encode(self, text: str) -> list[int]:
        data = as_utf8(text)
        if len(data) <= _SLICE:
            ids: list[int] = self._rust.encode(text)
            return ids
        return list(chain.from_iterable(self._slices(data)))

    def _slices(self, data: bytes) -> Iterator[list[int]]:
        """The ids of one slice after another, as those of the whole."""
        start, size = 0, _SLICE
        while start < len(data):
            end = _character(data, start + size)
            ids: list[int] = self._rust.encode(data[start:end].decode("utf-8"))
            if end < len(data):
                end = self._cut(data, end, ids)
            # No cut means that no token ends where a character does.
            size = _SLICE if ids else size * 2
            yield ids
            start = end

    def _cut(self, data: bytes, end: int, ids: list[int]) -> int:
        """Take from `ids` what more text might have changed; where the rest of them ends.

        The longest match at a place is certain if the longest token would still fit.
        """
        at, certain = end, end - self._longest
        while ids:
            start = at - len(self._table[ids[-1]])
            if start <= certain and _begins_character(data[at]):
                break
            at = start
            ids.pop()
        return at


def _begins_character(byte: int) -> bool:
    return byte & 0xC0 != 0x80


def _character(data: bytes, at: int) -> int:
    """The first place from `at` on where a character begins, or the end."""
    while at < len(data) and not _begins_character(data[at]):
        at += 1
    return min(at, len(data))


@cache
def world() -> WorldTokenizer:
    """The one instance; safe to share between threads."""
    return WorldTokenizer()


@cache
def world_entries() -> dict[int, bytes]:
    """Id → bytes of the World vocabulary; not to be changed by the caller."""
    with as_file(files("pyrwkv_tokenizer") / f"{WORLD_NAME}.txt") as path:
        entries = read_vocabulary(path)
    if vocabulary_fingerprint(entries) != WORLD_FINGERPRINT:
        raise TokenizerError(
            "the installed pyrwkv-tokenizer carries another vocabulary than World; "
            "install the version that this project pins"
        )
    return entries
