"""Content and calls told apart: whole texts by example, pieces of them by property."""

import json
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat.tools import FENCED, CallForm, CallPiece, CallSplitter, ContentPiece, ExpectedCalls
from tests.server.chat.tools.test_scan import OBJECTS

PROPERTY = settings(max_examples=200, deadline=None)
TAGS = CallForm("<tool_call>\n", "\n</tool_call>")
NAMES = frozenset({"f", "g"})


@dataclass
class Read:
    content: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list)


def expected(form: CallForm = FENCED, begun: str = "", *, held: bool = False) -> ExpectedCalls:
    return ExpectedCalls(form, NAMES, begun, held)


def read(calls: ExpectedCalls, *parts: str) -> Read:
    """What the pieces of a text add up to; each stands where it says it does."""
    text, found = "".join(parts), Read()
    splitter = CallSplitter(calls)
    pieces = [piece for part in parts for piece in splitter.push(part)] + splitter.close()
    for piece in pieces:
        match piece:
            case ContentPiece(content, at):
                assert content
                assert (calls.begun + text)[at + len(calls.begun) :].startswith(content)
                found.content += content
            case CallPiece(index, arguments, str(name)):
                assert (index, arguments) == (len(found.calls), "")
                found.calls.append((name, ""))
            case CallPiece(index, arguments):
                assert arguments
                name, before = found.calls[index]
                found.calls[index] = name, before + arguments
    return found


def call(name: str = "f", arguments: str = '{"a": 1}', form: CallForm = FENCED) -> str:
    return f'{form.before}{{"name": "{name}", "arguments": {arguments}}}{form.after}'


@pytest.mark.parametrize("form", [FENCED, TAGS])
@pytest.mark.parametrize(
    ("parts", "content", "calls"),
    [
        (["Hello."], "Hello.", 0),
        (["CALL"], "", 1),
        (["Let me see.\n", "CALL"], "Let me see.", 1),
        (["CALL", "\n", "CALL"], "", 2),
        (["CALL", "CALL", "\n\n", "CALL"], "", 3),
        (["CALL", "\nDone."], "\nDone.", 1),
        (["One. ", "CALL", " Two.", " ", "CALL", "\n"], "One. Two.", 2),
        ([" \n "], " \n ", 0),
    ],
)
def test_text_and_calls_may_mix(form: CallForm, parts: list[str], content: str, calls: int) -> None:
    text = "".join(call(form=form) if part == "CALL" else part for part in parts)
    assert read(expected(form), text) == Read(content, [("f", '{"a": 1}')] * calls)


@pytest.mark.parametrize(
    "text",
    [
        "```json",
        "```json\n",
        "```json\n{}\n```",
        '```json\n{"name": "h", "arguments": {}}\n```',
        '```json\n{"name": "f", "arguments": {"a": b}}\n```',
        '```json\n{"name": "f", "arguments": {"a": 1}',
        '```json\n{"name": "f", "arguments": {"a": 1}\n```',
        '```\n{"name": "f", "arguments": {"a": 1}}\n```',
        '{"name": "f", "arguments": {"a": 1}}',
        "``` json",
        "A `json` block begins with ```json, and ends with ```.",
        "``",
    ],
)
def test_what_is_no_call_is_content(text: str) -> None:
    assert read(expected(), text) == Read(text)


def test_a_call_may_follow_what_only_began_like_one() -> None:
    text = "```json is what it begins with: ```json```json\n" + call()
    assert read(expected(), text) == Read(
        "```json is what it begins with: ```json```json", [("f", '{"a": 1}')]
    )


@pytest.mark.parametrize("cut", ["", "\n", "\n`", "\n``"])
def test_a_call_needs_no_mark_at_its_end(cut: str) -> None:
    text = call().removesuffix("\n```") + cut
    assert read(expected(), text) == Read("", [("f", '{"a": 1}')])


@pytest.mark.parametrize(
    "arguments",
    [
        '{"a": {"b": [{"c": {}}, "}"]}}',
        '{"a": "```\\n}}{{"}',
        '{"a": "\\"}", "b": "\\\\"}',
        '{"a": "🙂 é \\ud83d\\ude42"}',
        "{ }",
        '{\n  "a": 1\n}',
    ],
)
def test_arguments_may_hold_anything(arguments: str) -> None:
    assert read(expected(), call("g", arguments)) == Read("", [("g", arguments)])


def test_what_the_prompt_began_belongs_to_the_call() -> None:
    begun = expected(begun="```json")
    text = call().removeprefix("```json\n")
    assert read(begun, text) == Read("", [("f", '{"a": 1}')])
    assert read(begun, "\n" + text) == Read("", [("f", '{"a": 1}')])
    assert read(begun, "{}") == Read("```json{}")


TEXT = st.text(st.sampled_from('`json{}"\n <a'), max_size=8)
CALL = st.builds(
    lambda name, arguments, indent: call(name, json.dumps(arguments, indent=indent)),
    st.sampled_from(["f", "g", "h"]),
    OBJECTS,
    st.sampled_from([None, 2]),
)


@st.composite
def texts(draw: st.DrawFn) -> list[str]:
    """A text of words and calls, some of them broken, cut anywhere."""
    parts = draw(st.lists(TEXT | CALL, max_size=4))
    text = "".join(parts)
    if text and draw(st.booleans()):
        at = draw(st.integers(0, len(text) - 1))
        text = text[:at] + draw(st.sampled_from(['"', "}", "`", ""])) + text[at + 1 :]
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    if draw(st.booleans()):
        cuts = list(range(len(text)))
    return [text[a:b] for a, b in pairwise([0, *cuts, len(text)])]


@PROPERTY
@given(texts(), st.sampled_from(["", "```json"]), st.booleans())
def test_pieces_say_what_the_whole_says(parts: list[str], begun: str, held: bool) -> None:
    calls = expected(begun=begun, held=held)
    assert read(calls, *parts) == read(calls, "".join(parts))


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), OBJECTS), min_size=1, max_size=3))
def test_a_call_is_the_same_whether_it_is_given_at_once_or_as_it_comes(
    given: list[tuple[str, Any]],
) -> None:
    text = "Well:\n" + "\n".join(FENCED.call(name, json.dumps(one)) for name, one in given)
    assert read(expected(held=True), *text) == read(expected(), text)


def test_arguments_come_as_they_are_written_where_the_form_is_sure() -> None:
    splitter = CallSplitter(expected(held=True))
    pieces = [
        splitter.push(part) for part in ('```json\n{"name": "f", "argu', 'ments": {"a', '": 1')
    ]
    assert pieces == [[], [CallPiece(0, "", "f"), CallPiece(0, '{"a')], [CallPiece(0, '": 1')]]
    assert splitter.close() == []


def test_arguments_wait_for_the_end_in_another_form() -> None:
    text = '```json\n{\n  "name": "f",\n  "arguments": {"a": 1'
    assert CallSplitter(expected(held=True)).push(text) == []
    assert read(expected(held=True), text) == Read(text)
    assert read(expected(held=True), text + "}}") == Read("", [("f", '{"a": 1}')])


def test_a_strict_tool_is_called_only_in_the_form_that_is_held_to() -> None:
    strict = ExpectedCalls(FENCED, NAMES, held=True, strict=frozenset("f"))
    text = '```json\n{\n "name": "f", "arguments": {"a": 1}}\n```'
    assert read(strict, text) == Read(text)
    assert read(strict, text.replace('"f"', '"g"')).calls == [("g", '{"a": 1}')]
    assert read(strict, text.replace("{\n ", "{")).calls == [("f", '{"a": 1}')]


@PROPERTY
@given(st.lists(st.tuples(st.sampled_from(["f", "g"]), OBJECTS), min_size=1, max_size=3))
def test_calls_are_read_as_they_are_written(given: list[tuple[str, Any]]) -> None:
    calls = [(name, json.dumps(arguments)) for name, arguments in given]
    text = "\n".join(FENCED.call(name, arguments) for name, arguments in calls)
    found = read(expected(), text)
    assert [name for name, _ in found.calls] == [name for name, _ in given]
    assert [json.loads(text) for _, text in found.calls] == [one for _, one in given]
    assert found.content == ""


@PROPERTY
@given(texts())
def test_nothing_of_the_content_is_lost(parts: list[str]) -> None:
    """What is not content is a call's form, or white space around it."""
    text, found = "".join(parts), read(expected(), *parts)
    if not found.calls:
        assert found.content == text
    else:
        letters = iter(text)
        assert all(char in letters for char in found.content)
