"""What every tokenizer offers, and the half of it that a table of bytes per id can answer.

A token is an id and the bytes it stands for. Text is always rebuilt by joining bytes, since a
token may hold a part of a character only. An id without bytes never becomes text: it either ends
the text (`eos_id`) or is padding that a sampler must mask.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

EOS_NAME = "<|endoftext|>"  # where a vocabulary has none of its own


class TokenizerError(ValueError):
    """A tokenizer that cannot be used, or a text that it cannot encode."""


class Tokenizer(Protocol):
    """Safe to call from several threads at once."""

    @property
    def name(self) -> str:
        """A word for logs, not an identity."""

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of what defines the ids; the same in every process."""

    @property
    def vocab_size(self) -> int:
        """Every id that has bytes is below it; a model may have more rows, which are padding."""

    @property
    def eos_id(self) -> int:
        """The id that ends a text; it has no bytes and never comes out of `encode`."""

    @property
    def eos_name(self) -> str:
        """What that id is called where it must be written down; in a text it is but text."""

    def encode(self, text: str) -> list[int]:
        """Raises `TokenizerError` where a part of the text has no tokens; drops nothing."""

    def token_bytes(self, token_id: int) -> bytes:
        """Empty for `eos_id`, for special tokens and for ids the tokenizer does not know."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of a whole sequence; bytes that are not UTF-8 become U+FFFD."""

    def padding_ids(self, model_vocab: int) -> list[int]:
        """Ids of a model with `model_vocab` rows that must never be sampled."""


class TableTokenizer(ABC):
    """A `Tokenizer` that reads its bytes from a table; only `encode` is left to write."""

    def __init__(
        self,
        name: str,
        fingerprint: str,
        table: Mapping[int, bytes],
        eos_id: int = 0,
        eos_name: str = EOS_NAME,
    ) -> None:
        self.name = name
        self.fingerprint = fingerprint
        self.vocab_size = max((i for i, token in table.items() if token), default=-1) + 1
        self.eos_id = eos_id
        self.eos_name = eos_name
        self._table = table

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """See `Tokenizer.encode`."""

    def token_bytes(self, token_id: int) -> bytes:
        return self._table.get(token_id, b"")

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def padding_ids(self, model_vocab: int) -> list[int]:
        return [i for i in range(model_vocab) if i != self.eos_id and not self.token_bytes(i)]


def as_utf8(text: str) -> bytes:
    """The bytes of a text; a lone surrogate, which has none, raises `TokenizerError`."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"character {error.start} of the text is the lone surrogate "
            f"U+{ord(text[error.start]):04X}, which is not valid Unicode; remove it"
        ) from None
