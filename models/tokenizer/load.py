"""The tokenizer that belongs to a model: a built-in one, or a file given beside it."""

from pathlib import Path

from models.tokenizer.base import Tokenizer, TokenizerError
from models.tokenizer.bpe import BpeTokenizer
from models.tokenizer.builtin import BYTES_NAME, IDS_NAME, IdsTokenizer, byte_tokenizer
from models.tokenizer.vocabulary import (
    VocabularyTokenizer,
    read_vocabulary,
    vocabulary_fingerprint,
)
from models.tokenizer.world import WORLD_FINGERPRINT, WORLD_NAME, world, world_entries

_WORLD_ROWS = (65_529, 65_530, 65_536)


def load(source: Path | str | None, vocab_size: int) -> Tokenizer:
    """The tokenizer for a model with `vocab_size` rows.

    A string is the name of a built-in one (`world`, `bytes`, `ids`) or else a path. Without a
    source this is World, if the rows are as many as World models have. A path is a
    `tokenizer.json`, a vocabulary in the World format (`.txt`), or a directory that holds one.
    Raises `TokenizerError` when there is none, or when its ids do not fit the model.
    """
    if source is None or source == "world":
        return _world_of_size(vocab_size)
    if source == IDS_NAME:
        return IdsTokenizer()
    is_bytes = source == BYTES_NAME
    tokenizer = byte_tokenizer() if is_bytes else _from_file(_resolve(Path(source)), vocab_size)
    if tokenizer.vocab_size > vocab_size:
        raise TokenizerError(
            f"{source} has ids up to {tokenizer.vocab_size - 1:,} but the model has only "
            f"{vocab_size:,} tokens; give the tokenizer this model was trained with"
        )
    return tokenizer


def beside(checkpoint: Path) -> Path | None:
    """The path for `load` when none was named: what lies beside the checkpoint; None is World."""
    folder = checkpoint.parent
    found = (folder / "tokenizer.json").is_file() or len([*folder.glob("rwkv_vocab*.txt")]) == 1
    return folder if found else None


def _world_of_size(vocab_size: int) -> Tokenizer:
    if vocab_size not in _WORLD_ROWS:
        raise TokenizerError(
            f"the model has {vocab_size:,} tokens, so its tokenizer is not World: give its file, "
            "a tokenizer.json (20B_tokenizer.json for Raven and Pile models) or a vocabulary .txt"
        )
    if vocab_size >= world().vocab_size:
        return world()
    rows = {token_id: token for token_id, token in world_entries().items() if token_id < vocab_size}
    return VocabularyTokenizer(rows, WORLD_NAME)


def _resolve(path: Path) -> Path:
    """The file that a path means."""
    if not path.is_dir():
        return path
    if (path / "tokenizer.json").is_file():
        return path / "tokenizer.json"
    found = sorted(path.glob("rwkv_vocab*.txt"))
    if len(found) != 1:
        raise TokenizerError(
            f"{path} holds no tokenizer.json and {len(found)} files rwkv_vocab*.txt; "
            "name the tokenizer file itself"
        )
    return found[0]


def _from_file(path: Path, vocab_size: int) -> Tokenizer:
    if path.suffix == ".json":
        return BpeTokenizer(path)
    if path.suffix == ".txt":
        return _from_vocabulary(path, vocab_size)
    raise TokenizerError(f"{path} is neither a tokenizer.json nor a vocabulary .txt")


def _from_vocabulary(path: Path, vocab_size: int) -> Tokenizer:
    entries = read_vocabulary(path)
    if vocab_size in _WORLD_ROWS and vocabulary_fingerprint(entries) == WORLD_FINGERPRINT:
        return _world_of_size(vocab_size)
    return VocabularyTokenizer(entries, path.stem)
