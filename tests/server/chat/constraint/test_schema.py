"""Which schemas are taken, which are refused and how, and what the copy of one keeps."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema_specifications import REGISTRY

from server.chat.constraint import checked_schema
from server.chat.constraint.keywords import ANNOTATIONS, REFUSED
from server.chat.constraint.readers import READERS
from server.engine.constraint import GrammarError
from server.errors import InvalidRequest
from tests.server.chat.constraint.matching import accepts, grammar_of

VOCABULARIES = "https://json-schema.org/draft/2020-12/meta/"


def refusal(schema: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        checked_schema(schema, "it")
    return refused.value


def nested(levels: int) -> Any:
    schema: Any = True
    for _ in range(levels):
        schema = {"items": schema}
    return schema


def link(number: int) -> tuple[str, Any]:
    """One of a chain of definitions."""
    return f"a{number}", {"items": {"$ref": f"#/$defs/a{number + 1}"}}


def test_every_keyword_of_the_draft_is_enforced_an_annotation_or_refused() -> None:
    known = READERS.keys() | ANNOTATIONS | REFUSED.keys()
    for uri in REGISTRY:
        if uri.startswith(VOCABULARIES):
            assert REGISTRY.contents(uri)["properties"].keys() <= known, uri
    assert not READERS.keys() & ANNOTATIONS
    assert not READERS.keys() & REFUSED.keys()


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("not", {"type": "null"}),
        ("if", {"type": "null"}),
        ("then", {"type": "null"}),
        ("else", {"type": "null"}),
        ("dependencies", {"a": ["b"]}),
        ("dependentRequired", {"a": ["b"]}),
        ("dependentSchemas", {"a": {"required": ["b"]}}),
        ("contains", {}),
        ("minContains", 1),
        ("maxContains", 1),
        ("uniqueItems", True),
        ("propertyNames", {"pattern": "a"}),
        ("unevaluatedItems", False),
        ("unevaluatedProperties", False),
        ("nullable", True),
        ("$dynamicRef", "#a"),
        ("$recursiveRef", "#"),
        ("x-guidance", {"lenient": True}),
        ("maxLenght", 3),
        ("$ref", "https://example.com/schema"),
        ("$ref", "#anchor"),
        ("$ref", "other.json#/a"),
        ("format", "iri"),
        ("format", "unknown"),
        ("pattern", "a(?=b)"),
        ("pattern", r"(a)\1"),
        ("pattern", "a" * 5000),
        ("pattern", "(a"),
        ("pattern", "a)|(b"),
        ("multipleOf", 1e-7),
        ("multipleOf", 0.0000000001),
        ("minimum", 2**60),
        ("const", 2**53 + 1),
        ("const", "\x00"),
        ("enum", [1e300]),
        ("minProperties", 2),
        ("maxLength", 10**9),
        ("oneOf", [{"type": "integer"}, {"minimum": 3}]),
        ("id", "https://example.com"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(keyword: str, value: Any) -> None:
    error = refusal({"type": "object", "properties": {"a": {keyword: value}}})
    assert error.param is not None
    assert error.param.startswith(f"it.properties.a.{keyword}")
    assert error.code == "unsupported_parameter"
    assert error.param in error.message


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("type", "text"),
        ("type", []),
        ("type", ["null", "null"]),
        ("type", 3),
        ("properties", []),
        ("properties", {"a": 3}),
        ("patternProperties", 1),
        ("required", "a"),
        ("required", ["a", "a"]),
        ("required", [1]),
        ("additionalProperties", "no"),
        ("items", 1),
        ("prefixItems", {}),
        ("minItems", -1),
        ("maxItems", 1.5),
        ("minLength", "1"),
        ("maxLength", True),
        ("pattern", 1),
        ("format", None),
        ("minimum", "0"),
        ("maximum", None),
        ("multipleOf", 0),
        ("multipleOf", -1),
        ("enum", []),
        ("enum", "a"),
        ("anyOf", []),
        ("allOf", {}),
        ("oneOf", [3]),
        ("$ref", 3),
        ("$ref", "#/$defs/none"),
    ],
)
def test_what_is_no_json_schema_is_told_so(keyword: str, value: Any) -> None:
    error = refusal({"properties": {"a": {keyword: value}}})
    assert error.code == "invalid_value"
    assert error.param is not None
    assert error.param.startswith(f"it.properties.a.{keyword}")


@pytest.mark.parametrize("schema", [3, "a", None, []])
def test_a_schema_is_an_object_or_a_boolean(schema: Any) -> None:
    assert refusal(schema).param == "it"


@pytest.mark.parametrize("keyword", [*sorted(ANNOTATIONS - {"$id", "id"}), "x-order"])
def test_an_annotation_changes_nothing(keyword: str) -> None:
    assert checked_schema({"items": {keyword: True, "type": "null"}}, "it") == {
        "items": {"type": "null"}
    }


@pytest.mark.parametrize(
    ("keyword", "value"),
    [(keyword, value) for keyword, (neutral, _) in REFUSED.items() for value in neutral],
)
def test_a_refused_keyword_may_stand_where_it_asks_for_nothing(keyword: str, value: Any) -> None:
    assert checked_schema({keyword: value}, "it") == {}
    judge = Draft202012Validator({keyword: value})
    assert all(judge.is_valid(instance) for instance in ([], [1, 1], {}, {"a": 1}, "a", 3, None))


def test_definitions_nobody_refers_to_are_not_looked_at() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}, "b": {"not": {}}}}
    assert accepts(grammar_of("json_schema", schema), "null")


def test_pointers_may_be_escaped_and_lead_anywhere() -> None:
    schema = {
        "prefixItems": [{"type": "integer"}, {"$ref": "#/prefixItems/0"}],
        "items": {"$ref": "#/$defs/a~1b%25~0"},
        "$defs": {"a/b%~": {"type": "null"}},
        "type": "array",
        "minItems": 3,
    }
    grammar = grammar_of("json_schema", schema)
    assert accepts(grammar, "[1, 2, null]")
    assert not accepts(grammar, "[1, null, null]")


def test_a_schema_may_contain_itself() -> None:
    schema = {
        "type": "object",
        "properties": {"child": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
        "required": ["child"],
        "additionalProperties": False,
    }
    grammar = grammar_of("json_schema", schema)
    assert accepts(grammar, '{"child": {"child": null}}')
    assert not accepts(grammar, '{"child": {"child": 1}}')


def test_one_of_schemas_that_exclude_each_other_is_any_of_them() -> None:
    cat = {"properties": {"kind": {"const": "cat"}}, "required": ["kind"], "type": "object"}
    dog = {"properties": {"kind": {"enum": ["dog", "pup"]}}, "required": ["kind"], "type": "object"}
    options = [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}, {"type": "null"}, {"const": 3}]
    schema = {"oneOf": options, "$defs": {"cat": cat, "dog": dog}}
    grammar = grammar_of("json_schema", schema)
    assert all(accepts(grammar, text) for text in ('{"kind": "pup"}', '{"kind": "cat"}', "null"))
    assert not accepts(grammar, '{"kind": "cow"}')


@pytest.mark.parametrize(
    "options",
    [
        [{"type": "integer"}, {"type": "number"}],
        [{"const": 1}, {"const": 1.0}],
        [{"type": "object"}, {"required": ["a"]}],
        [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^b"}],
        [{"$ref": "#"}, {"type": "null"}],
    ],
)
def test_one_of_schemas_that_may_overlap_is_refused(options: list[Any]) -> None:
    assert refusal({"oneOf": options}).param == "it.oneOf"


def test_keys_come_in_the_schemas_order() -> None:
    schema = {"type": "object", "properties": {"b": True, "a": True}, "required": ["a", "b"]}
    grammar = grammar_of("json_schema", schema)
    assert accepts(grammar, '{"b": 1, "a": 2}')
    assert not accepts(grammar, '{"a": 1, "b": 2}')


def test_a_further_key_is_none_of_the_named_ones() -> None:
    """Written with an escape or not: the last of two equal keys would count."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "null"}},
        "additionalProperties": {"type": "integer"},
    }
    grammar = grammar_of("json_schema", schema)
    assert accepts(grammar, '{"a": null, "b": 1}')
    for again in ('"a"', r'"\u0061"'):
        assert not accepts(grammar, f'{{"a": null, {again}: 1}}')


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("1900-02-29", False),
        ("2000-02-29", True),
        ("0000-01-01", False),
        ("2024-04-31", False),
        ("2024-13-01", False),
    ],
)
def test_a_date_exists(text: str, fits: bool) -> None:
    grammar = grammar_of("json_schema", {"type": "string", "format": "date"})
    assert accepts(grammar, f'"{text}"') is fits


@pytest.mark.parametrize(
    "schema",
    [
        nested(80),
        {"anyOf": [{"type": "null"}] * 6_000},
        {"enum": list(range(6_000))},
        {"patternProperties": {f"^{n}_": True for n in range(40)}},
        {"allOf": [{"type": "string", "pattern": f"(.*{n}){{{n}}}"} for n in range(20)]},
        {"oneOf": [{"$ref": "#/$defs/a0"}] * 2}
        | {"$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 8} for n in range(8)}}
        | {"a8": True},
        {"$ref": "#/$defs/a0"} | {"$defs": {"a300": True} | dict(map(link, range(300)))},
    ],
    ids=["deep", "wide", "values", "names", "patterns", "comparisons", "references"],
)
def test_what_would_cost_too_much_is_refused(schema: Any) -> None:
    refusal(schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"type": "integer", "minimum": 1, "maximum": 4, "multipleOf": 5},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "string", "pattern": "^a$", "minLength": 2},
        {"properties": {f"p{n}": {"type": "integer"} for n in range(3_000)}, "type": "object"},
    ],
)
def test_what_nothing_fits_is_refused(schema: Any) -> None:
    with pytest.raises(GrammarError):
        grammar_of("json_schema", json.dumps(schema), "answer")


def needing(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": {"$ref": name}}, "required": ["x"]}


@pytest.mark.parametrize(
    ("schema", "at"),
    [
        ({"$ref": "#"}, "$ref"),
        (needing("#"), "properties.x.$ref"),
        (needing("#/$defs/a") | {"$defs": {"a": needing("#/$defs/a")}}, "properties.x.$ref"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}}, "$ref"),
        ({"type": "array", "items": {"$ref": "#"}, "minItems": 1}, "items.$ref"),
        ({"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1}, "prefixItems.0.$ref"),
        ({"anyOf": [needing("#"), {"$ref": "#"}]}, "anyOf.0.properties.x.$ref"),
    ],
)
def test_a_schema_whose_values_never_end_is_refused_by_what_refers_to_them(
    schema: Any, at: str
) -> None:
    error = refusal(schema)
    assert (error.param, error.code) == (f"it.{at}", "unsupported_parameter")


def test_values_that_never_end_are_left_out_where_there_are_others() -> None:
    endless = {"$defs": {"a": needing("#/$defs/a")}}
    a: Any = {"$ref": "#/$defs/a"}
    optional = grammar_of("json_schema", {"type": "object", "properties": {"x": a}} | endless)
    assert accepts(optional, "{}")
    assert not accepts(optional, '{"x": {"x":')
    either = grammar_of("json_schema", {"anyOf": [a, {"type": "null"}]} | endless)
    assert accepts(either, "null")
    assert not accepts(either, '{"x":')
    listed = grammar_of("json_schema", {"type": "array", "items": a} | endless)
    assert accepts(listed, "[]")


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"anyOf": [needing("#"), {"type": "null"}]}, '{"x": {"x": null}}'),
        ({"type": "array", "items": {"$ref": "#"}}, "[[], [[]]]"),
        (needing("#") | {"required": []}, '{"x": {"x": {}}}'),
        (needing("#") | {"type": ["object", "null"]}, '{"x": null}'),
    ],
)
def test_a_schema_may_contain_itself_where_its_values_end(schema: Any, text: str) -> None:
    assert accepts(grammar_of("json_schema", schema), text)
