"""What an answer may be, from its first token on: in each phase, of each kind, and as calls."""

import json
from typing import Any

import pytest

from server.chat.constraint import call_grammar
from server.chat.constraint.bodies import LONGEST
from server.chat.thinking import Phase
from server.chat.types import ConstraintKind, Tool
from server.engine.constraint import Grammar, GrammarError
from server.errors import InvalidRequest
from tests.server.chat.constraint.matching import accepts, compiled, grammar_of

GBNF = 'root ::= item ("," item)*\nitem ::= [a-z]+ | "(" root ")"'
LARK = 'start: item ("," item)*\nitem: /[a-z]+/ | "(" start ")"'

ADD = Tool(
    "add",
    parameters={
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/number"}},
        "required": ["x"],
        "additionalProperties": False,
        "$defs": {"number": {"type": "integer"}},
    },
)
NOW = Tool('what "now"')
ADDED = '<call>\n{"name": "add", "arguments": {"x": 3}}\n</call>'
TOLD = '<call>\n{"name": "what \\"now\\"", "arguments": {}}\n</call>'


def calls(phase: Phase = "answer", **options: Any) -> Grammar:
    marks = {"before": "<call>\n", "after": "\n</call>"}
    return compiled(call_grammar((ADD, NOW), phase, **marks, **options))


@pytest.mark.parametrize(
    ("phase", "before"),
    [
        (None, ""),
        ("start", ""),
        ("start", " "),
        ("answer", "\n\n"),
        ("closing", ">"),
        ("closing", ">\n\n"),
        ("opened", ">hm</think>\n"),
        ("thought", "a < b, </thin, 日本</think>"),
    ],
)
def test_what_belongs_before_an_answer_may_stand_there(phase: Phase | None, before: str) -> None:
    grammar = grammar_of("choice", ["yes", "no"], phase)
    assert accepts(grammar, f"{before}yes")
    assert not accepts(grammar, f"{before}maybe")


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (None, " yes"),
        ("start", "   yes"),
        ("start", "<think>hm</think>yes"),
        ("closing", "yes"),
        ("thought", "hm yes"),
        ("thought", "hm</think> well yes"),
    ],
)
def test_nothing_else_may(phase: Phase | None, text: str) -> None:
    assert not accepts(grammar_of("choice", ["yes", "no"], phase), text)


@pytest.mark.parametrize(
    ("kind", "source", "text", "other"),
    [
        ("json_object", "", '{"a": [1, {}]}', "[1]"),
        ("json_schema", {"type": "null"}, "null", "0"),
        ("json_schema", True, '[{"a": "b"}, 1.5e3, null]', "a"),
        ("regex", "a/[0-9]{2}", "a/42", "a/4"),
        ("regex", "line\nbreak", "line\nbreak", "line break"),
        ("choice", ['a"b', "é\\", "\x01", "ab", "a"], "é\\", "b"),
        ("choice", ["a", "ab"], "ab", "abc"),
        ("lark", LARK, "a,(b,c)", "a,(b"),
        ("lark", GBNF, "a,(b,c)", "a,(b"),
    ],
)
def test_an_answer_is_what_is_asked_for(
    kind: ConstraintKind, source: Any, text: str, other: str
) -> None:
    grammar = grammar_of(kind, json.dumps(source) if kind == "json_schema" else source)
    assert accepts(grammar, text)
    assert not accepts(grammar, other)


def test_an_answer_in_a_chat_does_not_begin_with_white_space() -> None:
    assert accepts(grammar_of("regex", r"\s*a", None), "    a")
    grammar = grammar_of("regex", r"\s*a", "answer")
    assert accepts(grammar, " a")
    assert not accepts(grammar, "    a")
    with pytest.raises(GrammarError):
        grammar_of("regex", r"\s+a", "answer")
    with pytest.raises(InvalidRequest) as refused:
        grammar_of("choice", ["a", " b"], "answer")
    assert refused.value.param == "it.1"
    assert accepts(grammar_of("choice", ["a", " b"]), " b")


@pytest.mark.parametrize(
    "source",
    [
        'start[temperature=0.5]: "a"',
        'start: a "b"\na[stop="x"]: /.*/',
        'start: <[65]> "a"',
        "start: <|endoftext|>",
        "root ::= [",
        "root ::= " + "(" * 4_000 + '"a"' + ")" * 4_000,
        "x" * (LONGEST + 1),
    ],
)
def test_grammars_that_ask_for_more_than_text_are_refused(source: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        grammar_of("lark", source)
    assert (refused.value.param, refused.value.code) == ("it", "unsupported_parameter")


@pytest.mark.parametrize(
    "source", ["", "a", "start: b", "start: start", "start: /(/", 'begin: "a"']
)
def test_what_is_no_grammar_is_refused_when_it_is_compiled(source: str) -> None:
    with pytest.raises(GrammarError):
        grammar_of("lark", source)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("phase", ["answer", "thought"])
def test_a_call_begins_at_once_and_has_the_arguments_of_its_tool(many: bool, phase: Phase) -> None:
    grammar = calls(phase, many=many)
    before = "Hm.</think>\n" if phase == "thought" else " "
    assert accepts(grammar, before + ADDED)
    assert accepts(grammar, before + TOLD)
    assert accepts(grammar, f"{before}{ADDED}\n{TOLD}") is many
    assert not accepts(grammar, f"{before}Well: {ADDED}")
    assert not accepts(grammar, before + ADDED.replace("3", '"3"'))
    assert not accepts(grammar, before + ADDED.replace("add", "sub"))
    assert not accepts(grammar, f"{before}{ADDED} Done.")


@pytest.mark.parametrize("many", [False, True])
def test_a_lazy_call_is_held_to_its_form_once_it_has_begun(many: bool) -> None:
    grammar = calls(lazy=True, many=many)
    assert accepts(grammar, "No need: 1 < 2, <cal")
    assert accepts(grammar, f"Let me see.\n{ADDED}")
    assert accepts(grammar, ADDED.replace("\n{", " {", 1))
    assert accepts(grammar, f"{ADDED} and {TOLD} so.") is many
    assert not accepts(grammar, "Look: <call>x")
    assert not accepts(grammar, f"Look: {ADDED.replace('3', 'null')}")


def test_a_parameter_that_cannot_be_enforced_is_named() -> None:
    tools = (ADD, Tool("f", parameters={"properties": {"a": {"not": {}}}}))
    with pytest.raises(InvalidRequest) as refused:
        call_grammar(tools, "answer", before="<", after=">")
    assert refused.value.param == "tools.1.function.parameters.properties.a.not"


def test_a_tool_whose_arguments_nothing_fits_is_refused() -> None:
    tools = (ADD, Tool("f", parameters={"$ref": "#"}))
    with pytest.raises(GrammarError):
        compiled(call_grammar(tools, "thought", before="<", after=">"))
