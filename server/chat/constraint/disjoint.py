"""Whether no value fits two schemas, so that `oneOf` of them is the same as `anyOf`."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

Resolve = Callable[[str], Any]  # a reference to its schema, None where there is none

_DEEPEST = 8
_PATIENCE = 100_000  # comparisons, after which nothing is certain any more
_EVERY_TYPE = frozenset({"null", "boolean", "number", "string", "array", "object"})
_OF_PYTHON: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def overlapping(options: Sequence[Any], resolve: Resolve) -> tuple[int, int] | None:
    """The first two options that some value may fit both of."""
    judge = _Judge(resolve)
    for (m, a), (n, b) in combinations(enumerate(options), 2):
        try:
            certain = judge.disjoint(a, b)
        except _TooMuchError:
            certain = False
        if not certain:
            return m, n
    return None


class _TooMuchError(Exception):
    """It would take too long to find out."""


class _Judge:
    """Says disjoint only where it is certain."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._left = _PATIENCE

    def disjoint(self, a: Any, b: Any, depth: int = 0) -> bool:
        if a is False or b is False:
            return True
        if depth > _DEEPEST:
            return False
        these, those = list(self._demands(a)), list(self._demands(b))
        return (
            any(self._pair(x, y, depth) for x in these for y in those)
            or any(self._all_disjoint(x, b, depth) for x in these)
            or any(self._all_disjoint(y, a, depth) for y in those)
        )

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError

    def _demands(self, schema: Any, depth: int = 0) -> Iterator[Mapping[str, Any]]:
        """Schemas that a value of `schema` fits all of."""
        self._spend()
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return
        yield schema
        parts = schema.get("allOf", [])
        if isinstance(reference := schema.get("$ref"), str):
            parts = [*parts, self._resolve(reference)]
        for part in parts:
            yield from self._demands(part, depth + 1)

    def _all_disjoint(self, one: Mapping[str, Any], other: Any, depth: int) -> bool:
        """All that one leaves the choice of."""
        choices = one.get("anyOf") or one.get("oneOf")
        if not isinstance(choices, list) or not choices:
            return False
        return all(self.disjoint(choice, other, depth + 1) for choice in choices)

    def _pair(self, a: Mapping[str, Any], b: Mapping[str, Any], depth: int) -> bool:
        self._spend()
        common = _types(a) & _types(b)
        if not common:
            return True
        these, those = _values(a), _values(b)
        if these is not None and those is not None:
            return these.isdisjoint(those)
        return common == {"object"} and self._objects(a, b, depth)

    def _objects(self, a: Mapping[str, Any], b: Mapping[str, Any], depth: int) -> bool:
        """By a property that one of them requires: its values, or that the other has none."""
        for one, other in ((a, b), (b, a)):
            for name in one.get("required", []):
                mine, theirs = _property(one, name), _property(other, name)
                if self.disjoint(mine, theirs, depth + 1):
                    return True
        return False


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    """Those a value may have; integers are numbers."""
    given = schema.get("type", list(_EVERY_TYPE))
    names = given if isinstance(given, list) else [given]
    types = {"number" if name == "integer" else name for name in names}
    values = _listed(schema)
    return frozenset(types if values is None else types & {_OF_PYTHON[type(v)] for v in values})


def _listed(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    listed = schema.get("enum")
    return listed if isinstance(listed, list) else None


def _values(schema: Mapping[str, Any]) -> set[str] | None:
    """The only values there are, if they are listed."""
    values = _listed(schema)
    return None if values is None else {json.dumps(_plain(v), sort_keys=True) for v in values}


def _plain(value: Any) -> Any:
    """Numbers that are equal look the same."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    whole = isinstance(value, float) and value.is_integer()
    return int(value) if whole else value


def _property(schema: Mapping[str, Any], name: str) -> Any:
    """What holds for a property, if that is certain."""
    properties = schema.get("properties", {})
    if name in properties:
        return properties[name]
    return True if schema.get("patternProperties") else schema.get("additionalProperties", True)
