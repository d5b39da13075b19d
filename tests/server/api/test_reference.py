"""GET /docs: everything that is in the OpenAPI document, and nothing from elsewhere."""

import re
from html.parser import HTMLParser

import pytest

from server.api.reference import kind, page
from tests.server.api.doubles import Api


class Parsed(HTMLParser):
    """Names of elements, everything they refer to, ids, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"href", "src", "action", "srcset", "data"}:
                self.addresses.append(value or "")
            if name == "id":
                self.ids.add(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_has_every_operation_and_every_field(api: Api) -> None:
    response = await api.client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    parsed, document = Parsed(response.text), api.app.openapi()
    words = re.sub(r"\s+", " ", parsed.text)
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"{method.upper()} {path} " in words
    for schema in document["components"]["schemas"].values():
        for field in schema.get("properties", ()):
            assert field in words
    assert parsed.open == []


async def test_the_page_loads_and_runs_nothing(api: Api) -> None:
    response = await api.client.get("/docs")
    parsed = Parsed(response.text)
    assert not {"script", "link", "img", "iframe", "form", "object"} & set(parsed.tags)
    assert "url(" not in response.text
    assert "@import" not in response.text
    inner = {address[1:] for address in parsed.addresses if address.startswith("#")}
    assert {address for address in parsed.addresses if address[0] != "#"} == {"openapi.json"}
    assert inner <= parsed.ids
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline';")


async def test_the_page_needs_no_key() -> None:
    api = Api(api_keys=["key"])
    assert (await api.client.get("/docs")).status_code == 200
    assert (await api.client.get("/openapi.json")).status_code == 401


def test_what_is_in_the_document_is_text_and_no_markup() -> None:
    evil = "<script>alert(1)</script>"
    responses = {"200": {"content": {evil: {"schema": {"type": evil}}}}}
    operation = {"description": evil, "tags": [evil], "responses": responses}
    schemas = {evil: {"description": evil, "properties": {evil: {"enum": [evil]}}}}
    document = {
        "info": {"title": evil, "version": evil},
        "paths": {evil: {"get": operation}},
        "components": {"schemas": schemas},
    }
    assert "script" not in Parsed(page(document)).tags


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 9}, "integer, ≥ 0, ≤ 9"),
        (
            {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "list of string, items ≤ 3",
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"enum": [None, 1, "a"]}, 'null, 1, "a"'),
        ({"$ref": "#/components/schemas/Usage"}, "Usage"),
        ({"type": "string", "contentSchema": {"$ref": "#/a/Usage"}}, "JSON of Usage"),
        ({}, "anything"),
    ],
)
def test_types_are_told_in_a_few_words(schema: dict[str, object], text: str) -> None:
    assert Parsed(str(kind(schema))).text == text
