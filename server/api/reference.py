"""The OpenAPI document for programs, and as a page for people, without script or other address."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, Template
from markupsafe import Markup, escape

router = APIRouter()

Schema = Mapping[str, Any]

_METHODS = ("get", "post", "delete")
# Nothing but the page's own style is ever loaded or run.
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_BOUNDS = {
    "minimum": "≥",
    "maximum": "≤",
    "exclusiveMinimum": ">",
    "exclusiveMaximum": "<",
    "minLength": "length ≥",
    "maxLength": "length ≤",
    "minItems": "items ≥",
    "maxItems": "items ≤",
    "maxProperties": "keys ≤",
}
_CONTAINERS = {"items": "list of ", "contentSchema": "JSON of "}


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """The document."""
    return Response(await request.app.document.text(), media_type="application/json")


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The page; needs no key, as it says nothing that is not public."""
    return HTMLResponse(await request.app.page.text(), headers=_HEADERS)


def page(api: Schema) -> str:
    """An OpenAPI document as HTML."""
    return _template().render(
        api=api, tags=_tags(api), objects=api.get("components", {}).get("schemas", {}), kind=kind
    )


@cache
def _template() -> Template:
    source = files("server.api").joinpath("reference.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True).from_string(source)


def _tags(api: Schema) -> dict[str, list[Schema]]:
    tags: dict[str, list[Schema]] = {}
    for path, methods in api["paths"].items():
        for method in _METHODS:
            if operation := methods.get(method):
                tag = operation.get("tags", ["other"])[0]
                tags.setdefault(tag, []).append(_operation(path, method, operation))
    return tags


def _operation(path: str, method: str, given: Schema) -> Schema:
    taken = given.get("requestBody", {}).get("content", {})
    answers = {status: one.get("content", {}) for status, one in given["responses"].items()}
    return {
        "method": method.upper(),
        "path": path,
        "description": given.get("description") or given.get("summary", ""),
        "parameters": given.get("parameters", ()),
        "takes": _contents(taken),
        "gives": _joined(
            (escape(f"{status}: ") + _contents(content) for status, content in answers.items()),
            "; ",
        ),
    }


def _contents(content: Schema) -> Markup:
    """Types of media, with what each has in it."""
    parts = (
        escape(f"{media}, ") + kind(one["schema"]) if one.get("schema") else escape(media)
        for media, one in content.items()
    )
    return _joined(parts, " or ")


def kind(schema: Schema) -> Markup:
    """A type in a few words, with links to the objects of the document."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#{0}">{0}</a>').format(name)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return _joined(map(kind, schema[choice]), " and " if choice == "allOf" else " or ")
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return _joined((Markup("<code>{}</code>").format(json.dumps(v)) for v in values), ", ")
    for inner, words in _CONTAINERS.items():
        if inner in schema:
            return escape(words) + kind(schema[inner]) + _bounds(schema)
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        fields = (escape(f"{name}: ") + kind(one) for name, one in schema["properties"].items())
        return escape("{") + _joined(fields, ", ") + escape("}")
    return escape(schema.get("type", "anything")) + _bounds(schema)


def _bounds(schema: Schema) -> Markup:
    return escape("".join(f", {sign} {schema[name]}" for name, sign in _said(schema)))


def _said(schema: Schema) -> Iterator[tuple[str, str]]:
    return ((name, sign) for name, sign in _BOUNDS.items() if name in schema)


def _joined(parts: Iterable[Markup], between: str) -> Markup:
    return Markup(escape(between)).join(parts)
