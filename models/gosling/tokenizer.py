"""The byte-level BPE of the bundled model: trained on the synthetic dialogues, saved as
`tokenizer.json`.

Id 0 ends a document. It stands in the vocabulary without being an added token and no merge makes
it, so no text encodes to it: a typed "<|endoftext|>" becomes ordinary bytes. Pieces are words
with their leading space, runs of punctuation, runs of spaces, single digits, "\\n\\n" and "\\n".
Format: https://huggingface.co/docs/tokenizers (Apache-2.0).
"""

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END = 0
END_TEXT = "<|endoftext|>"
ENTRIES = 1024
PIECES = r"\n\n|\n|\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|[^\S\n]+(?!\S)|[^\S\n]+"
# Always single tokens, whatever the texts: the words and breaks that carry the turns.
TURN_TEXT = "\n\nUser:\n\nAssistant:\n\nSystem:"
TURN_COPIES = 100_000
TURN_WORDS = {"System", "User", "Assistant"}


def train_tokenizer(texts: Iterable[str], entries: int = ENTRIES) -> Tokenizer:
    """A tokenizer of at most `entries` ids. The same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=entries,
        special_tokens=[END_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_with_turns(texts), trainer)
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(description, ensure_ascii=False))


def _with_turns(texts: Iterable[str]) -> Iterator[str]:
    yield from texts
    yield TURN_TEXT * TURN_COPIES


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    tokenizer.save(str(path), pretty=False)


def load_tokenizer(path: Path) -> Tokenizer:
    """Raises FileNotFoundError where there is no file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train a tokenizer or name another folder")
    return Tokenizer.from_file(str(path))


class Splits:
    """Spells some words in smaller pieces, the same way all through one document.

    Each document loses a random tenth of the merges that join letters, as BPE dropout does, so
    that a model meets words in pieces other than the usual ones. Seeded, unlike the dropout of
    the tokenizers package, and consistent within a document, as the deployed tokenizer is.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        description = json.loads(tokenizer.to_str())["model"]
        vocabulary: dict[str, int] = description["vocab"]
        self._parts: dict[int, tuple[int, int]] = {}
        for merge in description["merges"]:
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            whole = left + right
            if whole.removeprefix("Ġ").isalpha() and whole not in TURN_WORDS:
                self._parts[vocabulary[whole]] = (vocabulary[left], vocabulary[right])

    def document(self, rng: random.Random, rate: float) -> dict[int, list[int]]:
        """The tokens that one document spells out, and their spelling there."""
        spelled: dict[int, list[int]] = {}
        for token, parts in self._parts.items():
            if rng.random() < rate or any(part in spelled for part in parts):
                spelled[token] = [t for part in parts for t in spelled.get(part, [part])]
        return spelled


def spell(tokens: list[int], spelled: dict[int, list[int]]) -> list[int]:
    """`tokens` with those in `spelled` written out."""
    if not spelled:
        return tokens
    return [part for token in tokens for part in spelled.get(token, (token,))]
