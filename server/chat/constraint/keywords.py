"""Keywords of JSON Schema that are not enforced: those that need not be, and those that cannot be.

Source: https://json-schema.org/draft/2020-12/json-schema-validation, and the older drafts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

ANNOTATIONS = frozenset(
    {"$schema", "$id", "id", "$comment", "$defs", "definitions", "$anchor", "$dynamicAnchor"}
    | {"$recursiveAnchor", "$vocabulary", "title", "description", "default", "deprecated"}
    | {"readOnly", "writeOnly", "example", "examples", "contentEncoding", "contentMediaType"}
    | {"contentSchema", "discriminator", "externalDocs", "xml"}
)

# Keywords that are refused: the values that ask for nothing, and why any other is.
REFUSED: Mapping[str, tuple[Sequence[Any], str]] = {
    "not": ((False,), "what a value must not be is not known before it is written"),
    "if": ((), "conditions are not supported; list the cases in anyOf"),
    "then": ((True, {}), "conditions are not supported; list the cases in anyOf"),
    "else": ((True, {}), "conditions are not supported; list the cases in anyOf"),
    "dependencies": (({},), "conditions are not supported; list the cases in anyOf"),
    "dependentRequired": (({},), "conditions are not supported; list the cases in anyOf"),
    "dependentSchemas": (({},), "conditions are not supported; list the cases in anyOf"),
    "contains": ((), "items are not compared with each other"),
    "minContains": ((0,), "items are not counted by what they contain"),
    "maxContains": ((), "items are not counted by what they contain"),
    "uniqueItems": ((False,), "items are not compared with each other"),
    "propertyNames": ((True, {}), "use patternProperties and additionalProperties: false"),
    "unevaluatedItems": ((True, {}), "use items, or items: false behind prefixItems"),
    "unevaluatedProperties": ((True, {}), "use additionalProperties"),
    "nullable": ((False,), "it is no keyword of JSON Schema; use type: [..., 'null']"),
    "$dynamicRef": ((), "only references within the schema, as '#/$defs/name', are"),
    "$recursiveRef": ((), "only references within the schema, as '#/$defs/name', are"),
    "x-guidance": ((), "options of the grammar are not open to requests"),
}
