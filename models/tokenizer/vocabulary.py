"""Vocabularies in the World format: a line per token, `id 'repr of a str or bytes' byte-length`.

The text of a token is a Python literal, str or bytes; its length counts UTF-8 bytes. Encoding is
the greedy longest match over the bytes of the text. Format: `rwkv_vocab_v20230424.txt` and
`rwkv_tokenizer.py` of https://github.com/BlinkDL/ChatRWKV.
"""

import ast
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

from models.native.library import available
from models.native.longest import NativeLongestMatch
from models.tokenizer.base import TableTokenizer, TokenizerError, as_utf8
from models.tokenizer.longest import LongestMatch, Matcher

_LARGEST_ID = 2**31 - 1


class VocabularyTokenizer(TableTokenizer):
    """Encodes with any World-format vocabulary."""

    def __init__(self, entries: Mapping[int, bytes], name: str) -> None:
        super().__init__(name, vocabulary_fingerprint(entries), entries)
        # A byte sequence under two ids is encoded as the later one, as the reference does.
        ids = {token: token_id for token_id, token in entries.items()}
        self._matcher: Matcher = NativeLongestMatch(ids) if available() else LongestMatch(ids)

    def encode(self, text: str) -> list[int]:
        data = as_utf8(text)
        ids, end = self._matcher.match(data)
        if end < len(data):
            self._refuse(text, data, end)
        return ids

    def _refuse(self, text: str, data: bytes, at: int) -> NoReturn:
        index = sum(byte & 0xC0 != 0x80 for byte in data[: at + 1]) - 1
        raise TokenizerError(
            f"{self.name} has no entry for {text[index]!r} (U+{ord(text[index]):04X}), "
            f"character {index} of the text; remove it or use another vocabulary"
        )


def vocabulary_fingerprint(entries: Mapping[int, bytes]) -> str:
    """Depends on ids and bytes only, not on how a file writes them down."""
    digest = hashlib.sha256(b"rwkv vocabulary\n")
    for token_id in sorted(entries):
        digest.update(b"%d %s\n" % (token_id, entries[token_id].hex().encode()))
    return digest.hexdigest()


def read_vocabulary(path: Path) -> dict[int, bytes]:
    """Id → bytes, in the order of the file; raises `TokenizerError` naming the faulty line."""
    try:
        # Not splitlines(): it also splits on characters that may stand inside an entry.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise TokenizerError(f"{path} cannot be read as a vocabulary: {error}") from error
    entries: dict[int, bytes] = {}
    for number, token_id, token in _entries(lines, path):
        if token_id in entries:
            raise TokenizerError(f"{path}:{number} gives id {token_id} a second time")
        entries[token_id] = token
    if not entries:
        raise TokenizerError(f"{path} is empty; give a vocabulary with a token per line")
    return entries


def _entries(lines: list[str], path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(line number, id, bytes) of every line that is not blank."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            token_id, token = _parse(line)
        except (ValueError, SyntaxError) as error:
            raise TokenizerError(f"{path}:{number} is not `id 'text' length`: {error}") from error
        yield number, token_id, token


def _literal(written: str) -> object:
    """What a Python literal means; most are plain enough to be read without Python's parser."""
    quote, inner = written[:1], written[1:-1]
    plain = quote in ("'", '"') and len(written) > 1 and written[-1] == quote
    if plain and quote not in inner and "\\" not in inner and inner.isprintable():
        return inner
    return ast.literal_eval(written)


def _parse(line: str) -> tuple[int, bytes]:
    head, _, rest = line.partition(" ")
    literal, _, length = rest.rpartition(" ")
    token_id, token = int(head), _literal(literal.strip())
    if isinstance(token, str):
        token = token.encode("utf-8")
    if not isinstance(token, bytes) or not token:
        raise ValueError("an entry is a str or bytes that is not empty")
    if len(token) != int(length):
        raise ValueError(f"it has {len(token)} bytes, not {int(length)}")
    if token_id < 1:
        raise ValueError("ids start at 1, since id 0 ends the text")
    if token_id > _LARGEST_ID:
        raise ValueError(f"ids end at {_LARGEST_ID}")
    return token_id, token
