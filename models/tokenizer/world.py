"""The World vocabulary: 65,529 entries, ids 1 to 65,529; id 0 ends the text.

Encoding is done by the Rust package `pyrwkv-tokenizer` (Apache-2.0), whose wheel also carries the
vocabulary file. Its decoder is not used: it panics on a part of a character and on padding ids.
"""

from functools import cache
from importlib.resources import as_file, files

from pyrwkv_tokenizer import RWKVTokenizer  # type: ignore[import-untyped]

from models.tokenizer.base import TableTokenizer, TokenizerError, as_utf8
from models.tokenizer.vocabulary import read_vocabulary, vocabulary_fingerprint

WORLD_NAME = "rwkv_vocab_v20230424"
WORLD_FINGERPRINT = "0eb79b4b093307a0001602e24e49c7906c0073c79f420e84cb8f891de2dd1460"


class WorldTokenizer(TableTokenizer):
    """Made once per process by `world()`, since the table takes a moment to read."""

    def __init__(self) -> None:
        super().__init__(WORLD_NAME, WORLD_FINGERPRINT, world_entries())
        self._rust = RWKVTokenizer()

    def encode(self, text: str) -> list[int]:
        as_utf8(text)
        ids: list[int] = self._rust.encode(text)
        return ids


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
