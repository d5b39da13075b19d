"""Regular expressions held against Python's `re`, which reads the source, not the translation."""

import json
import re

import pytest

from server.chat.constraint import regex
from server.chat.constraint.regex import RegexError
from server.engine.constraint import GrammarError
from server.errors import InvalidRequest
from tests.server.chat.constraint.matching import BYTES, accepts, grammar_of, written

# Python warns of what may come to mean something else, and which here means what it says.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

PATTERNS = (
    "abc",
    "a|b|",
    "^a$",
    "^ab|cd$",
    "(a|b)*c{2,3}",
    "(?:x(?P<name>y)?)+",
    r"\d+\.\d{2}",
    r"[\w.+-]+@[\w-]+\.[a-z]{2,4}",
    r"[^\W\d_]{2}",
    r"\D\W\S",
    r"\s\S{1,2}\s",
    r"[^\s,;]{3}",
    r"[^\D5]{2}",
    "[a-c&&b]",
    "[[a]]",
    "[a~~+--]x",
    r"[\]\\^-]{2}",
    r"[\x41-\u0043]/\/",
    r"a.b",
    r"\$\^\.\*\+\?\(\)\[\]\{\}\|",
    "[é-ü]日+",
    "a*?b+?c??",
    r"\t\n",
    "x[\\b]y",
    "[+--]",
)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_whole_text_matches_in_python_too(pattern: str) -> None:
    grammar = grammar_of("regex", pattern)
    texts = [written(grammar, BYTES, 256, seed, 60) for seed in range(40)]
    complete = [text.decode() for text in texts if text is not None]
    assert complete
    assert all(re.fullmatch(pattern, text) for text in complete)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_string_of_a_schema_has_a_match_in_python_too(pattern: str) -> None:
    grammar = grammar_of("json_schema", {"type": "string", "pattern": pattern})
    texts = [written(grammar, BYTES, 256, seed, 60) for seed in range(60)]
    complete = [json.loads(text.decode()) for text in texts if text is not None]
    assert all(re.search(pattern, text) for text in complete)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("b", "abc"),
        ("^b", "bc"),
        ("b$", "ab"),
        ("^a|c$", "xc"),
        (r"^\w+$", "a_9"),
        ("^a/b$", "a/b"),
        ("^[^,]*$", "日本\\n"),
    ],
)
def test_a_match_may_be_anywhere_but_for_anchors(pattern: str, text: str) -> None:
    grammar = grammar_of("json_schema", {"type": "string", "pattern": pattern})
    assert accepts(grammar, f'"{text}"')


def test_anchors_hold_to_the_ends() -> None:
    grammar = grammar_of("json_schema", {"type": "string", "pattern": "^a|c$"})
    assert not accepts(grammar, '"xa"')
    assert not accepts(grammar, '"cx"')


@pytest.mark.parametrize(
    "pattern",
    [
        "a(?=b)",
        "(?!a)b",
        "(?<=a)b",
        "(?<!a)b",
        "(?i)a",
        "(?i:a)",
        r"(a)\1",
        r"(?P<n>a)\k<n>",
        r"\ba",
        r"a\B",
        r"\Aa",
        r"a\Z",
        "a*+",
        "a{,3}",
        "[]a]",
        "[]",
        "a^b",
        "a$b",
        "(^a|b)",
        "(a$)",
        r"\ud800",
        r"\x{110000}",
        r"\uxyzw",
        r"\q",
        "a\\",
        "a" * 5_000,
    ],
)
def test_what_cannot_be_translated_is_refused(pattern: str) -> None:
    with pytest.raises(RegexError):
        regex.whole(pattern)


@pytest.mark.parametrize("pattern", ["(", "a)", "[a", "*a", "a{3,1}", r"\p{Nothing}"])
def test_what_is_no_regular_expression_is_refused_when_it_is_compiled(pattern: str) -> None:
    with pytest.raises((InvalidRequest, GrammarError)):
        grammar_of("regex", pattern)
