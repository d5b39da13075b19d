"""How many patterns a string may have to match at once, at most: what intersections cost."""

from collections.abc import Mapping
from typing import Any

DEEPEST = 150  # schemas within each other, those included that are referred to
_OF_STRINGS = ("pattern", "format", "minLength", "maxLength")


def meeting_patterns(schema: Any, definitions: Mapping[str, Any]) -> int:
    """In a checked schema, whose references are all to its definitions.

    What is reached by several ways that all have to hold is counted once for each. Raises
    TooDeepError.
    """
    return _Count(definitions).of(schema)


class TooDeepError(ValueError):
    """References lead through too many schemas."""


class _Count:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, int] = {}
        self._depth = 0

    def of(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 0
        self._depth += 1
        if self._depth > DEEPEST:
            raise TooDeepError
        counted = self._of_object(schema)
        self._depth -= 1
        return counted

    def _of_object(self, schema: Mapping[str, Any]) -> int:
        own = int(any(keyword in schema for keyword in _OF_STRINGS))
        every = [self.of(part) for part in schema.get("allOf", [])]
        if "$ref" in schema:
            every.append(self._of_definition(schema["$ref"]))
        one = [self.of(part) for part in schema.get("anyOf", [])]
        return own + sum(every) + max(one, default=0) + self._below(schema)

    def _below(self, schema: Mapping[str, Any]) -> int:
        """In the items and properties, of which those that patterns name may meet the others."""
        named = [schema.get("properties", {}), schema.get("patternProperties", {})]
        deepest = sum(max(map(self.of, parts.values()), default=0) for parts in named)
        listed = [schema.get("items"), schema.get("additionalProperties")]
        others = max(map(self.of, [*listed, *schema.get("prefixItems", [])]))
        return max(deepest, others)

    def _of_definition(self, reference: str) -> int:
        """One that contains itself meets no more of its own than once."""
        if reference not in self._known:
            self._known[reference] = 0
            name = reference.rpartition("/")[2]
            self._known[reference] = self.of(self._definitions.get(name))
        return self._known[reference]
