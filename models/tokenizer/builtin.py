"""Tokenizers without a file: ids that are bytes, and ids that are no text at all.

`bytes` is what models trained on raw bytes use: id b is byte b. Id 0 ends a text, as in every RWKV
vocabulary, so the byte 0 has no token. `ids` is for models of anything but text, such as music
or genomes, whose clients send and read token ids.
"""

import hashlib
from collections.abc import Sequence

from models.tokenizer.base import TableTokenizer, TokenizerError
from models.tokenizer.vocabulary import VocabularyTokenizer

BYTES_NAME = "bytes"
IDS_NAME = "ids"


class IdsTokenizer(TableTokenizer):
    """Any id is as good as another, and none is text; id 0 ends what the model writes."""

    def __init__(self) -> None:
        super().__init__(IDS_NAME, hashlib.sha256(b"ids\n").hexdigest(), {})

    def encode(self, text: str) -> list[int]:
        raise TokenizerError("this model has no tokenizer; send token ids")

    def decode(self, ids: Sequence[int]) -> str:
        return ""

    def padding_ids(self, model_vocab: int) -> list[int]:
        return []


def byte_tokenizer() -> VocabularyTokenizer:
    """Ids 1 to 255 are the bytes of the same number."""
    return VocabularyTokenizer({byte: bytes([byte]) for byte in range(1, 256)}, BYTES_NAME)
