"""The World vocabulary: 65,529 entries, ids 1 to 65,529; id 0 ends the text.

The vocabulary file is that of the package `pyrwkv-tokenizer` (Apache-2.0). Its encoder is not
used: it takes 240 MB of memory, more than a small model.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from models.tokenizer.base import TokenizerError
from models.tokenizer.vocabulary import (
    VocabularyTokenizer,
    read_vocabulary,
    vocabulary_fingerprint,
)

WORLD_NAME = "rwkv_vocab_v20230424"
WORLD_FINGERPRINT = "0eb79b4b093307a0001602e24e49c7906c0073c79f420e84cb8f891de2dd1460"


@cache
def world() -> VocabularyTokenizer:
    """The one instance, since the table takes a moment to read; safe to share between threads."""
    return VocabularyTokenizer(world_entries(), WORLD_NAME)


@cache
def world_entries() -> dict[int, bytes]:
    """Id → bytes of the World vocabulary; not to be changed by the caller."""
    entries = read_vocabulary(_package() / f"{WORLD_NAME}.txt")
    if vocabulary_fingerprint(entries) != WORLD_FINGERPRINT:
        raise TokenizerError(
            "the installed pyrwkv-tokenizer carries another vocabulary than World; "
            "install the version that this project pins"
        )
    return entries


def _package() -> Path:
    """Its folder; found without an import, which would load the encoder."""
    spec = find_spec("pyrwkv_tokenizer")
    if spec is None or spec.origin is None:
        raise TokenizerError("the package pyrwkv-tokenizer, which carries World, is not installed")
    return Path(spec.origin).parent
