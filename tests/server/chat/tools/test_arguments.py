"""Arguments in canonical form: what a client may change on the way, and what it may not."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.chat.tools import canonical_arguments
from tests.server.chat.tools.test_scan import OBJECTS

PROPERTY = settings(max_examples=200, deadline=None)


@PROPERTY
@given(
    OBJECTS,
    st.booleans(),
    st.sampled_from([None, 0, 2]),
    st.sampled_from([(", ", ": "), (",", ":")]),
)
def test_white_space_and_escapes_do_not_matter(
    value: dict[str, Any], ascii: bool, indent: int | None, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, ensure_ascii=ascii, indent=indent, separators=separators)
    assert canonical_arguments(f" {text}\n") == canonical_arguments(json.dumps(value))


@PROPERTY
@given(OBJECTS | st.text())
@example('{"a": "\\ud800"}')
@example('{"a": 1e999}')
@example('{"a": NaN}')
@example('{"a": ' + "9" * 5000 + "}")
@example("[" * 100_000)
def test_the_canonical_form_of_a_canonical_form_is_itself(given: dict[str, Any] | str) -> None:
    text = given if isinstance(given, str) else json.dumps(given)
    canonical = canonical_arguments(text)
    assert canonical_arguments(canonical) == canonical
    canonical.encode("utf-8", errors="strict" if text.isascii() else "surrogatepass")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ('{"city":"Paris"}', '{"city": "Paris"}'),
        ('{"b":1,"a":2}', '{"b": 1, "a": 2}'),
        ('{"a": "\\u00e9\\/"}', '{"a": "é/"}'),
        ('{"a": 1.0, "b": 1e2, "c": 1.5, "d": -0.0}', '{"a": 1, "b": 100, "c": 1.5, "d": 0}'),
        ("", "{}"),
        (" \n", "{}"),
        (' {"a": "cut ', '{"a": "cut'),
        ('{"a": NaN}', '{"a": NaN}'),
        ('{"a": "\\ud800"}', '{"a": "\\ud800"}'),
    ],
)
def test_the_form_is_that_which_models_are_shown(text: str, canonical: str) -> None:
    assert canonical_arguments(text) == canonical


def test_other_values_and_another_order_are_other_arguments() -> None:
    forms = ['{"a": 1, "b": 2}', '{"b": 2, "a": 1}', '{"a": 1}', '{"a": "1", "b": 2}']
    assert len(set(map(canonical_arguments, forms))) == len(forms)
