"""Any `tokenizer.json` whose tokens are bytes, encoded by Hugging Face `tokenizers`.

Text in is text out: the space that some files put before every text is not added, because a
conversation is encoded in segments, and the name of a special token is ordinary text.
Format: https://huggingface.co/docs/tokenizers; example: `20B_tokenizer.json` of RWKV-4 Pile.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as HfTokenizer

from models.tokenizer.base import EOS_NAME, TableTokenizer, TokenizerError, as_utf8
from models.tokenizer.pieces import PieceReader, Section, piece_reader

_END_NAMES = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>")
# The bytes that occur in UTF-8; files leave the others out of their alphabet.
_UTF8_BYTES = frozenset(range(0xC0)) | frozenset(range(0xC2, 0xF5))
# Characters. `encode` keeps the GIL all the way and works out offsets; a batch does neither, but
# wakes threads of its own.
_LONG = 2_000


class BpeTokenizer(TableTokenizer):
    """A `tokenizer.json`; raises `TokenizerError` if its tokens cannot be read as bytes."""

    def __init__(self, path: Path) -> None:
        definition = _text_in_text_out(_read(path))
        try:
            self._hf = _build(definition)
            self._special = _special_tokens(self._hf)
            table = _byte_table(self._hf, piece_reader(definition)) | dict.fromkeys(
                self._special, b""
            )
            end_id = _end_id(self._special, table)
        except TokenizerError as error:
            raise TokenizerError(f"{path} cannot be used: {error}") from error
        end_name = self._special.get(end_id, EOS_NAME)
        super().__init__(path.name, _fingerprint(definition), table, end_id, end_name)
        self._missing = _UTF8_BYTES - {token[0] for token in table.values() if len(token) == 1}

    def encode(self, text: str) -> list[int]:
        as_utf8(text)
        if self._missing:
            self._refuse_missing(text)
        ids = self._encode(text)
        if self._special.keys().isdisjoint(ids):
            return ids
        ids = [token_id for piece in self._without_names(text) for token_id in self._encode(piece)]
        if spelled := self._special.keys() & ids:
            name = self._special[min(spelled)]
            raise TokenizerError(
                f"{self.name} cannot write a part of the text without its special token {name!r}"
            )
        return ids

    def _encode(self, text: str) -> list[int]:
        if len(text) < _LONG:
            ids: list[int] = self._hf.encode(text).ids
        else:
            ids = self._hf.encode_batch_fast([text])[0].ids
        return ids

    def _without_names(self, text: str) -> Iterator[str]:
        """The text in pieces that cut the name of each special token after its first character.

        `encode_special_tokens` keeps names from being looked up, but merges may still spell one.
        """
        names = sorted(map(re.escape, self._special.values()), key=len, reverse=True)
        start = 0
        for match in re.finditer("|".join(names), text):
            yield text[start : match.start() + 1]
            start = match.start() + 1
        yield text[start:]

    def _refuse_missing(self, text: str) -> None:
        """Raise if a character has a byte without a token: `tokenizers` would drop it."""
        normalizer = self._hf.normalizer
        for character in normalizer.normalize_str(text) if normalizer else text:
            if not self._missing.isdisjoint(character.encode("utf-8")):
                raise TokenizerError(
                    f"{self.name} has no token for {character!r} (U+{ord(character):04X}); "
                    "remove it from the text or use another tokenizer"
                )


def _read(path: Path) -> Section:
    try:
        definition = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TokenizerError(f"{path} cannot be read as a tokenizer.json: {error}") from error
    if not isinstance(definition, dict) or not isinstance(definition.get("model"), dict):
        raise TokenizerError(f"{path} is not a tokenizer.json: it has no model")
    return {"decoder": None, "normalizer": None, "pre_tokenizer": None, **definition}


def _build(definition: Section) -> HfTokenizer:
    try:
        tokenizer = HfTokenizer.from_str(json.dumps(definition))
    except Exception as error:  # tokenizers raises nothing more precise
        raise TokenizerError(f"tokenizers does not accept it: {error}") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


def _text_in_text_out(definition: Section) -> Section:
    """The definition without what cuts, pads, frames, prefixes or varies the ids of a text."""
    model = {key: value for key, value in definition["model"].items() if key != "dropout"}
    return definition | {
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "normalizer": _without_prefix(definition["normalizer"]),
        "pre_tokenizer": _without_prefix(definition["pre_tokenizer"]),
        "model": model,
    }


def _without_prefix(section: Section | None) -> Section | None:
    """A normalizer or pre-tokenizer that adds no space at the start of the text."""
    if section is None or section.get("type") == "Prepend":
        return None
    match section:
        case {"type": "ByteLevel"}:
            return section | {"add_prefix_space": False}
        case {"type": "Metaspace"}:
            kept = {key: value for key, value in section.items() if key != "add_prefix_space"}
            return kept | {"prepend_scheme": "never"}
        case {"type": "Sequence"}:
            return {key: _each_without_prefix(value) for key, value in section.items()}
    return section


def _each_without_prefix(value: Any) -> Any:
    """The same for the parts of a sequence; its other values are left alone."""
    if not isinstance(value, list):
        return value
    return [kept for part in value if (kept := _without_prefix(part)) is not None]


def _special_tokens(tokenizer: HfTokenizer) -> dict[int, str]:
    """Id → name of the tokens that are not text, among them a plain entry named like an end."""
    added = tokenizer.get_added_tokens_decoder()
    special = {token_id: token.content for token_id, token in added.items() if token.special}
    ends = {name: tokenizer.token_to_id(name) for name in _END_NAMES}
    return special | {token_id: name for name, token_id in ends.items() if token_id is not None}


def _byte_table(tokenizer: HfTokenizer, read: PieceReader) -> dict[int, bytes]:
    """Id → bytes; added tokens are written as they are."""
    pieces = tokenizer.get_vocab(with_added_tokens=False)
    table = {token_id: read(piece) for piece, token_id in pieces.items()}
    for token_id, token in tokenizer.get_added_tokens_decoder().items():
        table[token_id] = token.content.encode("utf-8")
    return table


def _end_id(special: dict[int, str], table: dict[int, bytes]) -> int:
    """The special token known to end a text, else 0, which ends it in every RWKV vocabulary."""
    ids = {name: token_id for token_id, name in special.items()}
    end_id = next((ids[name] for name in _END_NAMES if name in ids), 0)
    if table.get(end_id):
        raise TokenizerError("it has no special token that ends a text, and id 0 is text")
    return end_id


def _fingerprint(definition: Section) -> str:
    canonical = json.dumps(definition, sort_keys=True)
    return hashlib.sha256(b"tokenizer.json\n" + canonical.encode()).hexdigest()
