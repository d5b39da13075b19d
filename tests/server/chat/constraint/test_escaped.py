"""A grammar in a JSON string takes the texts that it takes outside of one, escaped."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.constraint.escaped_lark import escaped_lark
from server.chat.constraint.escaped_regex import escaped_regex
from server.chat.constraint.regex import RegexError
from server.engine.constraint import Grammar
from tests.server.chat.constraint.matching import VOCABULARY, accepts


def grammar(lark: str) -> Grammar:
    return VOCABULARY.compile(json.dumps({"grammars": [{"lark_grammar": lark}]}))


def in_string(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


LARK: list[tuple[str, list[str], list[str]]] = [
    ('start: "say \\"hi\\"\\n"', ['say "hi"\n'], ["say hi"]),
    ('start: "a\\nB"i', ["A\nb", "a\nB"], ["a\\nb", "a\\Nb"]),
    ('start: "a"i "\\\\"', ["A\\", "a\\"], ["a"]),
    ('start: "\\"".."z"', ['"', "\\", "a"], ["!", "{"]),
    ('start: A B\nA: /[^a]+/ // a "comment"\nB: /a\\/b\\\\/', ['"\n\\a/b\\'], ["aa/b\\"]),
    ("start: /.+/", ['"a"\t'], ["a\nb"]),
    ("start: /.+/s", ["a\nb"], [""]),
    ("start: /(?i)a(?-i:b)\\n/", ["Ab\n", "ab\n"], ["AB\n"]),
    ("start: (INT | WS)+\n%import common (WS, INT)", ["1 \n2\t"], ["a"]),
    ("start: S\n%import common.ESCAPED_STRING -> S", ['"a\\"b"', '""'], ['"a"b"', "a"]),
    ('start: "a" "b"\n%ignore /\\s+/', ["a\n\tb"], ["a-b"]),
    ('start: A~2..3\nA: "\\t"', ["\t\t"], ["\t"]),
    ('start: X\nX: /[\\]"x]+/ & /.{2}/', ['"]', 'x"'], ["x"]),
]


@pytest.mark.parametrize(("source", "good", "bad"), LARK)
def test_texts_of_a_lark_grammar(source: str, good: list[str], bad: list[str]) -> None:
    plain, escaped = grammar(source), grammar(escaped_lark(source))
    for texts, wanted in ((good, True), (bad, False)):
        for text in texts:
            assert accepts(plain, text) is wanted, text
            assert accepts(escaped, in_string(text)) is wanted, text


def test_what_is_not_escaped_is_not_taken() -> None:
    escaped = grammar(escaped_lark("start: /(?s:.*)/"))
    for text in ('"', "\n", "\\", "\\u0041", "\\x"):
        assert not accepts(escaped, text)


CHARACTERS = ["a", "Z", '"', r"\\", r"\n", r"\x22", r"\u{5C}", r"\/", r"(?i:a|é)", r"(a|\t)"]
CLASSES = [".", r"\s", r"\S", r"\w", r"\W", r"\d", r"\p{L}", "(?s:.)", r"(?i:[^\n])", "[^a]"]
BRACKETS = [r'[\]"]', "[]a]", "[^]]", "[a-z&&[^b]]", r"[\x00-\x7f--a]", "[[:punct:]]"]
ATOMS = st.sampled_from([*CHARACTERS, *CLASSES, *BRACKETS])
QUANTIFIERS = st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,3}"])
PATTERNS = st.lists(st.tuples(ATOMS, QUANTIFIERS), min_size=1, max_size=3).map(
    lambda parts: "".join(atom + times for atom, times in parts)
)
TEXTS = st.text(st.sampled_from('aAbé"\\\n\t\r]/ .1n'), max_size=4)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(PATTERNS, st.sampled_from(["", "i", "s", "is"]), st.lists(TEXTS, min_size=4, max_size=8))
def test_texts_of_an_expression(pattern: str, flags: str, texts: list[str]) -> None:
    plain = grammar(f"start: X\nX: /{pattern}/{flags}")
    escaped = grammar(f"start: X\nX: /{escaped_regex(pattern, flags)}/{flags}")
    for text in texts:
        assert accepts(escaped, in_string(text)) is accepts(plain, text), text


@pytest.mark.parametrize(
    "source",
    [
        'start: %json {"type": "string"}',
        'start: %regex {"substring_words": "a b"}',
        "start: A\nA: ~/a/",
        "start: <|end|>",
        "start: @other",
        "start: /a/x",
        "start: /(?<!a)b/",
        'start: "\\ud800"',
        "start: /[a/",
        "start: /" + "".join(f"[a{chr(0x4E00 + i)}]" for i in range(501)) + "/",
        "%import other.WS\nstart: WS",
    ],
)
def test_what_cannot_be_escaped_is_refused(source: str) -> None:
    with pytest.raises(RegexError):
        escaped_lark(source)
