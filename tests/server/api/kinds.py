"""The kinds of things that a schema allows, and those of them that a value has.

A kind is an object by its name, a branch of a union, a value of an enumeration, or a key that may
be left out being there or not, each at its place in the object that it belongs to.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from tests.server.api.document import DOCUMENT, Schema

_OBJECTS = DOCUMENT["components"]["schemas"]
_UNIONS = ("anyOf", "oneOf")


def allowed_kinds(schema: Schema, place: str) -> set[str]:
    """All that the schema has."""
    seen: set[str] = set()
    return set(_allowed(schema, place, seen)) | seen


def _allowed(schema: Schema, place: str, seen: set[str]) -> Iterator[str]:
    if "$ref" in schema:
        name = _name(schema)
        if name not in seen:
            seen.add(name)
            yield from _allowed(_OBJECTS[name], name, seen)
        return
    for branch in _branches(schema):
        yield f"{place} is {_label(branch)}"
        yield from _allowed(branch, place, seen)
    for value in _values(schema):
        yield f"{place} = {json.dumps(value)}"
    for key, inner in schema.get("properties", {}).items():
        if key not in schema.get("required", ()):
            yield from (f"{place}.{key} is {what}" for what in ("there", "left out"))
        yield from _allowed(inner, f"{place}.{key}", seen)
    if isinstance(schema.get("items"), Mapping):
        yield from _allowed(schema["items"], f"{place}[]", seen)


def kinds_of(value: Any, schema: Schema, place: str) -> Iterator[str]:
    """Those of a value, which fits the schema."""
    if "$ref" in schema:
        name = _name(schema)
        yield name
        yield from kinds_of(value, _OBJECTS[name], name)
        return
    branches = [branch for branch in _branches(schema) if _fits(value, branch)]
    assert len(branches) == bool(_branches(schema)), f"{place} is several things at once"
    for branch in branches:
        yield f"{place} is {_label(branch)}"
        yield from kinds_of(value, branch, place)
    if _values(schema):
        yield f"{place} = {json.dumps(value)}"
    for key, inner in schema.get("properties", {}).items():
        if key not in schema.get("required", ()):
            yield f"{place}.{key} is {'there' if key in value else 'left out'}"
        if key in value:
            yield from kinds_of(value[key], inner, f"{place}.{key}")
    if isinstance(schema.get("items"), Mapping):
        for one in value:
            yield from kinds_of(one, schema["items"], f"{place}[]")


def _name(schema: Schema) -> str:
    name: str = schema["$ref"].rpartition("/")[2]
    return name


def _branches(schema: Schema) -> Sequence[Schema]:
    return [branch for union in _UNIONS for branch in schema.get(union, ())]


def _values(schema: Schema) -> Sequence[Any]:
    values: Sequence[Any] = schema.get("enum", ())
    return values


def _label(branch: Schema) -> str:
    return _name(branch) if "$ref" in branch else json.dumps(branch.get("const", branch["type"]))


def _fits(value: Any, branch: Schema) -> bool:
    schema = {**branch, "components": DOCUMENT["components"]}
    return Draft202012Validator(schema).is_valid(value)
