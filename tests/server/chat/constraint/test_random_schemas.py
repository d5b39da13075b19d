"""Random schemas against llguidance and jsonschema: whatever can be written validates."""

import json
import re

from jsonschema import Draft202012Validator

from models.tokenizer import Tokenizer, load
from server.engine.constraint import Grammar, GrammarError, Vocabulary
from server.errors import InvalidRequest
from tests.server.chat.constraint.matching import (
    BYTES,
    VOCABULARY,
    accepts,
    allowed,
    grammar_of,
    written,
)
from tests.server.chat.constraint.schemas import Schema, root_schema

SEEDS = range(500)
WORLD = load("world", 65_536)
_STRING = re.compile(r'"(\\.|[^"\\])*"')


def usable(seed: int, vocabulary: Vocabulary) -> tuple[Schema, Grammar] | None:
    schema = root_schema(seed)
    Draft202012Validator.check_schema(schema)
    try:
        return schema, grammar_of("json_schema", schema, vocabulary=vocabulary)
    except (InvalidRequest, GrammarError):
        return None


def check(seeds: range, vocabulary: Vocabulary, tokenizer: Tokenizer, rows: int) -> tuple[int, int]:
    """How many schemas could be used, and how many texts were complete, and so validated."""
    used = complete = 0
    for seed in seeds:
        if (found := usable(seed, vocabulary)) is None:
            continue
        schema, grammar = found
        judge = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        used += 1
        for draw in range(3):
            text = written(grammar, tokenizer, rows, seed * 10 + draw)
            if text is not None:
                judge.validate(json.loads(text.decode()))
                complete += 1
    return used, complete


def test_every_text_of_bytes_validates() -> None:
    used, complete = check(SEEDS, VOCABULARY, BYTES, 256)
    assert used > 0.9 * len(SEEDS)
    assert complete > 0.8 * 3 * used


def test_every_text_of_world_tokens_validates() -> None:
    used, complete = check(SEEDS[:120], Vocabulary(WORLD, 65_536), WORLD, 65_536)
    assert used > 100
    assert complete > 0.6 * 3 * used


def test_white_space_never_runs_on() -> None:
    """Outside strings there is a single space behind a comma or a colon, or none."""
    grammar = grammar_of("json_schema", {"type": ["object", "array"]})
    texts = [written(grammar, BYTES, 256, seed, 300) for seed in range(150)]
    complete = [text.decode() for text in texts if text is not None]
    assert len(complete) > 30
    for text in complete:
        bare = _STRING.sub('""', text)
        assert re.search(r"\s\s|^\s|\s$|[^,:]\s", bare) is None, text
    assert any(", " in text for text in complete)


def test_no_half_of_a_surrogate_pair_and_no_second_spelling_of_a_letter_is_written() -> None:
    grammar = grammar_of("json_schema", {"type": "string"})
    assert accepts(grammar, r'"a\n\"\\ \t"')
    for escape in (r"\ud800", r"\u0061", r"\u0000", r"\/", r"\x"):
        assert not accepts(grammar, f'"{escape}"')


def test_bytes_are_whole_characters_and_never_an_overlong_form() -> None:
    grammar = grammar_of("json_schema", {"type": "string", "minLength": 1})
    matcher = grammar.matcher()
    matcher.advance(ord('"'))
    possible = allowed(matcher.mask(), 256)
    assert not possible[[0x80, 0xBF, 0xC0, 0xC1, 0xF5, 0xFF, 0x0A, 0x1F]].any()
    matcher.advance(0xED)
    assert not allowed(matcher.mask(), 256)[0xA0:].any()  # surrogates
