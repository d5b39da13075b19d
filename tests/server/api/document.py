"""The OpenAPI document, and answers held against it."""

from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator

from tests.server.api.doubles import Api

APP = Api().app
DOCUMENT: dict[str, Any] = APP.openapi()
Schema = Mapping[str, Any]


def answer_schema(path: str, method: str = "post", media: str = "application/json") -> Schema:
    """Of what an operation answers with a 200."""
    content = DOCUMENT["paths"][path][method]["responses"]["200"]["content"]
    return {**content[media]["schema"], "components": DOCUMENT["components"]}


def check(answer: Any, path: str, method: str = "post") -> None:
    Draft202012Validator(answer_schema(path, method)).validate(answer)


def objects_of_answers() -> Iterator[tuple[str, Schema]]:
    """Every schema within what is answered, with its place."""
    seen: set[str] = set()
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            for answer in operation["responses"].values():
                for media, content in answer.get("content", {}).items():
                    place = f"{method.upper()} {path} {media}"
                    yield from _within(content["schema"], place, seen)


def _within(schema: Schema, place: str, seen: set[str]) -> Iterator[tuple[str, Schema]]:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name not in seen:
            seen.add(name)
            yield from _within(DOCUMENT["components"]["schemas"][name], name, seen)
        return
    yield place, schema
    for choices in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(choices, ()):
            yield from _within(one, place, seen)
    for name, one in schema.get("properties", {}).items():
        yield from _within(one, f"{place}.{name}", seen)
    for inner in ("items", "additionalProperties", "contentSchema"):
        if isinstance(schema.get(inner), Mapping):
            yield from _within(schema[inner], place, seen)
