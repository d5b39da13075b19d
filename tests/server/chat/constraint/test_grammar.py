"""What an answer may be, from its first token on: in each phase, of each kind, and as calls."""

import json
from typing import Any

import pytest

from server.chat.constraint import call_grammar
from server.chat.constraint.bodies import LONGEST
from server.chat.thinking import Phase
from server.chat.tools import FENCED, CallForm, ExpectedCalls, toolbox
from server.chat.types import Constraint, ConstraintKind, Tool, ToolChoice
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


FORM = CallForm("<call>\n", "\n</call>")


def calls(
    *tools: Tool, mode: str = "required", phase: Phase = "answer", many: bool = True, **options: Any
) -> Grammar:
    """Without what a prompt may have begun of a call, unless `options` have an `expected`."""
    box = toolbox(tools or (ADD, NOW), ToolChoice(mode), parallel=many)
    expected = ExpectedCalls(FORM, frozenset(tool.name for tool in box.tools))
    return compiled(call_grammar(box, options.pop("expected", expected), phase, **options))


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
    grammar = calls(phase=phase, many=many)
    before = "Hm.</think>\n" if phase == "thought" else " "
    assert accepts(grammar, before + ADDED)
    assert accepts(grammar, before + TOLD)
    assert accepts(grammar, f"{before}{ADDED}\n{TOLD}") is many
    assert not accepts(grammar, f"{before}Well: {ADDED}")
    assert not accepts(grammar, before + ADDED.replace("3", '"3"'))
    assert not accepts(grammar, before + ADDED.replace("add", "sub"))
    assert not accepts(grammar, f"{before}{ADDED} Done.")


def test_a_call_goes_on_where_the_prompt_has_begun_it() -> None:
    begun = ExpectedCalls(FORM, frozenset(("add",)), begun="<call>")
    grammar = calls(ADD, expected=begun)
    rest = ADDED.removeprefix("<call>")
    assert accepts(grammar, rest)
    assert accepts(grammar, rest.lstrip())
    assert accepts(grammar, f"{rest}\n{ADDED}")
    assert not accepts(grammar, ADDED)
    assert not accepts(grammar, f"{rest}\n{rest}")


def test_the_next_turn_may_follow_the_last_call() -> None:
    grammar = calls(stops=("\n\nUser:", "\n\n"))
    for end in ("", "\n\n", "\n\nUser:"):
        assert accepts(grammar, f"{ADDED}\n{ADDED}{end}")
    assert not accepts(grammar, f"{ADDED}\n\nUse")


@pytest.mark.parametrize("many", [False, True])
def test_a_call_is_held_to_its_form_once_it_has_begun(many: bool) -> None:
    grammar = calls(mode="auto", many=many)
    assert accepts(grammar, "No need: 1 < 2, <cal")
    assert accepts(grammar, f"Let me see.\n{ADDED}")
    assert accepts(grammar, ADDED.replace("\n{", " {", 1))
    assert accepts(grammar, ADDED.replace('{"name": ', '{\n  "name" : '))
    assert accepts(grammar, f"{ADDED} and {TOLD} so.") is many
    assert not accepts(grammar, f"Look: {ADDED.replace('3', 'null')}")
    assert not accepts(grammar, f"Look: {ADDED.replace('add', 'sub')}")


def test_in_a_block_of_code_only_the_plain_form_begins_a_call() -> None:
    fenced = ExpectedCalls(FENCED, frozenset(("add",)))
    grammar = calls(ADD, mode="auto", expected=fenced)
    assert accepts(grammar, FENCED.call("add", '{"x": 3}'))
    assert accepts(grammar, '```json\n{"age": 3}\n```')
    assert accepts(grammar, '```json\n{\n  "name": "my-app"\n}\n```')
    assert not accepts(grammar, '```json\n{"name": "my-app"}\n```')
    assert not accepts(grammar, FENCED.call("add", "{}"))


def test_what_is_no_call_is_what_is_asked_for() -> None:
    answer = Constraint("json_schema", '{"type": "null"}', "it")
    grammar = calls(mode="auto", answer=answer)
    assert accepts(grammar, "null")
    assert accepts(grammar, f"{ADDED}\n{TOLD}")
    assert not accepts(grammar, f"null{ADDED}")
    assert not accepts(calls(answer=answer), "null")


UNKNOWN = {"properties": {"a": {"not": {}}}}


def test_a_parameter_that_cannot_be_enforced_is_named_where_it_is_strict() -> None:
    place = "tools.1.function.parameters"
    with pytest.raises(InvalidRequest) as refused:
        calls(ADD, Tool("f", parameters=UNKNOWN, strict=True, param=place))
    assert refused.value.param == f"{place}.properties.a.not"
    grammar = calls(ADD, Tool("f", parameters=UNKNOWN, param=place))
    assert accepts(grammar, FORM.call("f", '{"b": {}}'))
    assert not accepts(grammar, FORM.call("f", "[]"))


def test_a_tool_whose_arguments_nothing_fits_is_refused() -> None:
    tool = Tool("f", parameters={"required": ["a"]})
    with pytest.raises(GrammarError):
        calls(ADD, tool, phase="thought")
    assert accepts(calls(ADD, tool, loose=True), FORM.call("f", '{"b": 1}'))


@pytest.mark.parametrize(
    ("parameters", "arguments", "extra"),
    [
        (None, "{}", False),
        ({}, "{}", False),
        ({"properties": {"a": {}}}, '{"a": 1}', False),
        ({"properties": {"a": {}}, "additionalProperties": {}}, '{"a": 1}', True),
        ({"allOf": [{"properties": {"a": {}}}]}, '{"a": 1}', True),
    ],
)
def test_arguments_have_no_keys_that_the_schema_leaves_unsaid(
    parameters: Any, arguments: str, extra: bool
) -> None:
    grammar = calls(Tool("f", parameters=parameters))
    assert accepts(grammar, FORM.call("f", arguments))
    more = arguments.replace("}", ', "b": 1}' if "a" in arguments else '"b": 1}')
    assert accepts(grammar, FORM.call("f", more)) is extra
