"""Grammars tried out without a model: what they accept, and what they write at random."""

import json
import random
from typing import Any

import numpy as np

from models.tokenizer import Tokenizer, load
from server.chat.constraint import GrammarText, answer_grammar
from server.chat.thinking import Phase
from server.chat.types import Constraint, ConstraintKind
from server.engine.constraint import Grammar, Vocabulary

BYTES = load("bytes", 256)
VOCABULARY = Vocabulary(BYTES, 256)


def compiled(text: GrammarText, vocabulary: Vocabulary = VOCABULARY) -> Grammar:
    for part in text.alone:
        vocabulary.compile(part.source)
    return vocabulary.compile(text.source)


def grammar_of(
    kind: ConstraintKind,
    source: Any,
    phase: Phase | None = None,
    vocabulary: Vocabulary = VOCABULARY,
) -> Grammar:
    """source: as JSON where it is not a string."""
    text = source if isinstance(source, str) else json.dumps(source)
    return compiled(answer_grammar(Constraint(kind, text, "it"), phase), vocabulary)


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether a byte at a time, each allowed by the mask, the whole text can be an answer."""
    matcher = grammar.matcher()
    data = text.encode()
    for place, byte in enumerate(data):
        if not allowed(matcher.mask(), 256)[byte]:
            return False
        matcher.advance(byte)
        if matcher.complete:
            return place == len(data) - 1
    return bool(allowed(matcher.mask(), 256)[BYTES.eos_id])


def allowed(mask: "np.ndarray[Any, Any]", count: int) -> "np.ndarray[Any, Any]":
    """A mask's bits, as bool [count]."""
    return np.unpackbits(mask.view(np.uint8), count=count, bitorder="little").astype(bool)


def written(
    grammar: Grammar, tokenizer: Tokenizer, vocab_size: int, seed: int, longest: int = 120
) -> bytes | None:
    """A text of tokens drawn from the masks, ended where it can be half of the times it can.

    None if it is not complete after `longest` tokens.
    """
    rng = random.Random(seed)
    matcher = grammar.matcher()
    text = b""
    for _ in range(longest):
        ids = np.flatnonzero(allowed(matcher.mask(), vocab_size))
        assert len(ids)
        may_end = tokenizer.eos_id in ids
        if may_end and (len(ids) == 1 or rng.random() < 0.5):
            return text
        token = int(rng.choice(ids))
        if token == tokenizer.eos_id:
            return text
        assert tokenizer.token_bytes(token)
        text += tokenizer.token_bytes(token)
        matcher.advance(token)
        if matcher.complete:
            return text
    return None
