"""From the tokens of a `tokenizer.json` to the bytes they stand for.

The decoder section of the file says how its tokens are written. Two ways are known here:
byte-level, one visible character per byte (GPT-2), and SentencePiece, "▁" for a space and
`<0xNN>` for a byte. Any other way loses bytes and is refused.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from models.tokenizer.base import TokenizerError

PieceReader = Callable[[str], bytes]
Section = dict[str, Any]

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_BYTE_LEVEL = {"ByteLevel", "Fuse"}
# Strip takes away the space that a file puts before every text; none is put there.
_SENTENCE_PIECE = {"ByteFallback", "Replace", "Metaspace", "Fuse", "Strip"}


def byte_alphabet() -> dict[str, int]:
    """Character → byte: visible Latin-1 stands for itself, the rest counts up from U+0100."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {
        chr(0x100 + place): byte for place, byte in enumerate(hidden)
    }


def piece_reader(definition: Section) -> PieceReader:
    """What turns a token of the model into its bytes; raises `TokenizerError` if nothing can."""
    steps = list(_steps(definition["decoder"]))
    kinds = {step["type"] for step in steps}
    if "ByteLevel" in kinds and kinds <= _BYTE_LEVEL:
        return partial(_byte_level, byte_alphabet())
    if "ByteFallback" in kinds and kinds <= _SENTENCE_PIECE:
        if not definition["model"].get("byte_fallback"):
            raise TokenizerError("its model drops unknown characters, as byte_fallback is off")
        return partial(_sentence_piece, [pair for step in steps for pair in _replacement(step)])
    raise TokenizerError(
        f"its decoder is {', '.join(sorted(kinds)) or 'missing'}, but only ByteLevel decoders "
        "and decoders with ByteFallback give every byte back"
    )


def _steps(decoder: Section | None) -> Iterator[Section]:
    """The decoder's parts in order, sequences taken apart."""
    if decoder is None:
        return
    if decoder["type"] != "Sequence":
        yield decoder
        return
    for step in decoder["decoders"]:
        yield from _steps(step)


def _replacement(step: Section) -> Iterator[tuple[str, str]]:
    """What a step replaces in every token, if it replaces anything."""
    if step["type"] == "Metaspace":
        yield step["replacement"], " "
    if step["type"] == "Replace":
        if "String" not in step["pattern"]:
            raise TokenizerError("its decoder replaces by a regular expression, not by a string")
        yield step["pattern"]["String"], step["content"]


def _byte_level(alphabet: dict[str, int], piece: str) -> bytes:
    if all(character in alphabet for character in piece):
        return bytes(alphabet[character] for character in piece)
    return piece.encode("utf-8")


def _sentence_piece(replacements: list[tuple[str, str]], piece: str) -> bytes:
    if byte := _BYTE_PIECE.fullmatch(piece):
        return bytes.fromhex(byte[1])
    for old, new in replacements:
        piece = piece.replace(old, new)
    return piece.encode("utf-8")
