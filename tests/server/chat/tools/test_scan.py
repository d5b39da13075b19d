"""JSON read as it is written, against Python's own parser."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.chat.tools.scan import CallScanner, JsonScanner

PROPERTY = settings(max_examples=300, deadline=None)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)
# Texts that are nearly JSON, so that both answers come up.
NEARLY = st.text(st.sampled_from('{}[]",:\\ \n01.-eEtrufalsn'), max_size=14)


def read(scanner: JsonScanner | CallScanner, text: str) -> str | None:
    """The text up to where it ended; None where it is refused or has no end."""
    for number, char in enumerate(text):
        if not scanner.push(char):
            return None
        if scanner.done:
            return text[: number + 1]
    return None


def decoded(text: str) -> str | None:
    """The same by Python's parser, for a value that begins the text."""

    def refuse(_: str) -> Any:
        raise ValueError

    try:
        _, end = json.JSONDecoder(parse_constant=refuse).raw_decode(text)
    except ValueError:
        return None
    return text[:end]


@PROPERTY
@given(OBJECTS, st.booleans(), st.sampled_from([None, 2]), NEARLY)
def test_an_object_ends_where_it_ends(
    value: dict[str, Any], ascii: bool, indent: int | None, after: str
) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    assert read(JsonScanner(), text + after) == text


@PROPERTY
@given(NEARLY)
@example('"a":1,}')
@example('"a":[1,]}')
@example('"a":[,1]}')
@example('"a":01}')
@example('"a":-}')
@example('"a":1.}')
@example('"a":+1}')
@example('"a":nul}')
@example('"a":"\\u12"}')
@example('"a":"\\x"}')
@example('"a":"\n"}')
@example('"a" "b"}')
@example('"a":1 2}')
@example('"a":[1}')
@example(",}")
@example('"a":}')
def test_what_is_no_json_is_refused_as_python_refuses_it(text: str) -> None:
    assert read(JsonScanner(), "{" + text) == decoded("{" + text)


@PROPERTY
@given(st.text(), OBJECTS, st.sampled_from([None, 1]))
def test_a_call_is_read_whole(name: str, arguments: dict[str, Any], indent: int | None) -> None:
    text = json.dumps({"name": name, "arguments": arguments}, indent=indent)
    scanner = CallScanner({name})
    assert read(scanner, " " + text + "}") == " " + text
    assert scanner.name == name
    assert json.loads(scanner.take()) == arguments


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "g", "arguments": {}}',
        '{"name": "f"}',
        '{"name": "f", "parameters": {}}',
        '{"arguments": {}, "name": "f"}',
        '{"name": "f", "arguments": "{}"}',
        '{"name": "f", "arguments": []}',
        '{"name": "f", "arguments": null}',
        '{"name": f, "arguments": {}}',
        '{"name": {}, "arguments": {}}',
        '{"name": "f", "arguments": {}, "id": 1}',
        '[{"name": "f", "arguments": {}}]',
        '"name"',
    ],
)
def test_another_object_is_no_call(text: str) -> None:
    assert read(CallScanner({"f"}), text) is None


def test_arguments_are_the_words_that_were_written() -> None:
    scanner = CallScanner({"f"})
    read(scanner, '{ "name" :"f","arguments":{ "a":1.0 , "b" : "\\u00e9"}}')
    assert scanner.take() == '{ "a":1.0 , "b" : "\\u00e9"}'
