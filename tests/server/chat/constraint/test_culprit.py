"""Schemas that nothing fits are refused by the keyword that is to blame."""

import json
from functools import partial
from typing import Any

import pytest

from server.chat.constraint import GrammarCompiler, answer_grammar
from server.chat.constraint.culprit import culprit
from server.chat.constraint.problems import Place
from server.chat.thinking import Phase
from server.chat.types import Constraint
from server.errors import InvalidRequest
from tests.doubles import ByteTokenizer

BOUNDS = {"type": "integer", "minimum": 5, "maximum": 3}
OBJECT = {"type": "object", "required": ["a"]}
UNFIT: list[tuple[Any, tuple[str, ...]]] = [
    (BOUNDS, ("minimum", "maximum")),
    ({**OBJECT, "properties": {"b": {}, "a": BOUNDS}}, ("properties.a.minimum",)),
    ({**OBJECT, "properties": {"a": False}}, ("properties.a",)),
    (
        {"type": "object", "required": ["properties"], "properties": {"properties": BOUNDS}},
        ("properties.properties.minimum",),
    ),
    ({"type": "array", "items": BOUNDS, "minItems": 1}, ("items.minimum",)),
    ({"type": "array", "prefixItems": [{}, BOUNDS], "minItems": 2}, ("prefixItems.1.minimum",)),
    ({"type": "array", "minItems": 3, "maxItems": 1}, ("minItems",)),
    ({"type": "string", "minLength": 5, "maxLength": 2}, ("minLength",)),
    ({"type": "string", "const": 1}, ("const",)),
    ({"type": "string", "pattern": "[z-a]"}, ("pattern",)),
    ({"type": "string", "pattern": "a{3,1}"}, ("pattern",)),
    ({"type": "string", "pattern": "^a$", "maxLength": 0}, ("pattern",)),
    ({"type": "integer", "multipleOf": 7, "minimum": 1, "maximum": 6}, ("multipleOf",)),
    ({"allOf": [{"type": "string"}, {"type": "integer"}]}, ("allOf.0.type",)),
    ({"$ref": "#/$defs/a", "$defs": {"b": {}, "a": BOUNDS}}, ("$defs.a.minimum",)),
    ({"anyOf": [BOUNDS, BOUNDS]}, ("anyOf.0.minimum",)),
]


async def refused(schema: Any, phase: Phase | None) -> InvalidRequest:
    constraint = Constraint("json_schema", json.dumps(schema), "schema")
    compiler = GrammarCompiler(ByteTokenizer(), 256)
    with pytest.raises(InvalidRequest) as caught:
        await compiler.compile(partial(answer_grammar, constraint, phase), "schema")
    return caught.value


@pytest.mark.parametrize(("schema", "keywords"), UNFIT)
@pytest.mark.parametrize("phase", ["answer", None])
async def test_the_keyword_is_named(
    schema: Any, keywords: tuple[str, ...], phase: Phase | None
) -> None:
    error = await refused(schema, phase)
    assert error.param in {f"schema.{keyword}" for keyword in keywords}
    assert str(error).startswith(f"{error.param} cannot be enforced: ")


def test_two_that_are_to_blame_are_named_by_what_holds_them() -> None:
    schema = {"properties": {"a": False, "b": False}}

    def usable(found: Any) -> bool:
        return False not in found.get("properties", {}).values()

    assert str(culprit(schema, Place("s"), usable)) == "s.properties"


def test_a_schema_without_a_usable_rest_is_named_itself() -> None:
    assert str(culprit({"a": {"b": 1}}, Place("s"), lambda _: False)) == "s"


def test_what_was_asked_for_is_left_as_it_was() -> None:
    schema = {"properties": {"a": {"minimum": 5, "maximum": 3}}, "allOf": [{"x": 1}]}
    before = json.dumps(schema)
    culprit(schema, Place("s"), lambda found: "minimum" not in json.dumps(found))
    assert json.dumps(schema) == before


def test_there_is_an_end_of_asking() -> None:
    asked = 0

    def usable(_: Any) -> bool:
        nonlocal asked
        asked += 1
        return False

    culprit({"properties": {str(n): {} for n in range(5000)}}, Place("s"), usable)
    assert asked == 200
