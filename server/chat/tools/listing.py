"""Tools as the system message lists them: `- name(argument: type, other?: type) description`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.chat.types import Tool

_DEEPEST = 6  # levels of a schema that are shown


@dataclass(frozen=True, slots=True)
class ToolListing:
    """What stands before and after the list."""

    head: str
    tail: str

    def text(self, tools: Sequence[Tool]) -> str:
        return "\n".join((self.head, *map(tool_line, tools), self.tail))


def tool_line(tool: Tool) -> str:
    schema = tool.parameters or {}
    shown = Shape(schema).arguments(schema)
    about = " ".join((tool.description, *_described(schema))).split()
    return " ".join((f"- {tool.name}({shown})", *about))


def _described(schema: Mapping[str, Any]) -> list[str]:
    """`(name: what it is)` for every argument that has a description."""
    found = _properties(schema).items()
    return [
        f"({name}: {about['description']})"
        for name, about in found
        if isinstance(about, Mapping) and isinstance(about.get("description"), str)
    ]


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    return found if isinstance(found, Mapping) else {}


class Shape:
    """A JSON schema in a few words; `root` is where its references lead."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def arguments(self, schema: Mapping[str, Any], depth: int = 0) -> str:
        """`name: type` of each property, with a question mark at those that may be left out."""
        required = schema.get("required")
        needed = set(required) if isinstance(required, Sequence) else set()
        return ", ".join(
            f"{name}{'' if name in needed else '?'}: {self.kind(part, depth + 1)}"
            for name, part in _properties(schema).items()
        )

    def kind(self, schema: Any, depth: int = 0) -> str:
        """The type's name, the values of an enumeration, or the parts of what is made of parts."""
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return "any"
        if "$ref" in schema:
            return self.kind(self._target(schema["$ref"]), depth + 1)
        if "const" in schema:
            return _json(schema["const"])
        if isinstance(values := schema.get("enum"), Sequence):
            return "|".join(map(_json, values))
        for key in ("anyOf", "oneOf"):
            if isinstance(parts := schema.get(key), Sequence):
                return "|".join(dict.fromkeys(self.kind(part, depth + 1) for part in parts))
        return self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> str:
        name = schema.get("type")
        if isinstance(name, list):
            return "|".join(self._typed({**schema, "type": one}, depth) for one in name)
        if name == "array":
            inner = self.kind(schema.get("items"), depth + 1)
            return f"({inner})[]" if "|" in inner else f"{inner}[]"
        if name == "object" and _properties(schema):
            return f"{{{self.arguments(schema, depth)}}}"
        return name if isinstance(name, str) else "any"

    def _target(self, reference: Any) -> Any:
        place: Any = self._root
        if not isinstance(reference, str) or not reference.startswith("#"):
            return None
        for step in reference.removeprefix("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if key:
                place = place.get(key) if isinstance(place, Mapping) else None
        return place


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
