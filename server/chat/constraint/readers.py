"""The keywords of JSON Schema that are enforced: what each may hold, and its part of the copy.

Source: https://json-schema.org/draft/2020-12/json-schema-validation, and the older drafts' forms
of lists. That llguidance enforces what is copied is held against it in the tests.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from server.chat.constraint import regex
from server.chat.constraint.constants import check_number, check_value
from server.chat.constraint.formats import FORMATS
from server.chat.constraint.found import Copy, Found
from server.chat.constraint.problems import Place, unsupported

_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")
_MOST_VALUES = 5_000
_MOST_PATTERNS = 32  # of names, which are compared with each other
_MOST = 1_000_000  # of what is counted: characters, items, properties
_FINEST = 9  # decimal places


def _type(found: Found) -> Copy:
    names = found.value if isinstance(found.value, list) else [found.value]
    known = bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)
    if not known or len(set(names)) < len(names):
        raise found.invalid(f"must be one of {', '.join(_TYPES)}, or a list of some of them")
    return {"type": found.value}


def _const(found: Found) -> Copy:
    check_value(found.value, found.place)
    return {"const": found.value}


def _enum(found: Found) -> Copy:
    if not isinstance(found.value, list) or not found.value:
        raise found.invalid("must be a list of at least one value")
    if len(found.value) > _MOST_VALUES:
        raise found.unsupported(f"it has more than {_MOST_VALUES} values")
    for number, value in enumerate(found.value):
        check_value(value, found.place / number)
    return {"enum": found.value}


def _number(found: Found) -> Copy:
    if isinstance(found.value, bool) or not isinstance(found.value, int | float):
        raise found.invalid("must be a number")
    check_number(found.value, found.place)
    return {found.keyword: found.value}


def _multiple_of(found: Found) -> Copy:
    copied = _number(found)
    if found.value <= 0:
        raise found.invalid("must be a number above 0")
    digits = Decimal(repr(found.value)).normalize()
    _, coefficient, exponent = digits.as_tuple()
    places = max(0, -exponent) if isinstance(exponent, int) else 0
    if places > _FINEST or len(coefficient) > _FINEST:
        raise found.unsupported(f"it has more than {_FINEST} digits")
    return copied


def _count(found: Found) -> Copy:
    value = found.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise found.invalid("must be a whole number, 0 or more")
    if value > _MOST:
        raise found.unsupported(f"it is more than {_MOST:,}")
    return {found.keyword: value}


def _properties_count(found: Found) -> Copy:
    """Optional keys are not counted, nor the same further key twice as one."""
    copied = _count(found)
    beside = found.beside
    required, properties = beside.get("required", []), beside.get("properties", {})
    closed = beside.get("additionalProperties") is False and not beside.get("patternProperties")
    least = _whole(beside.get("minProperties")) - len(required)
    most = beside.get("maxProperties")
    only_one = most is None or _whole(most) - len(required) == 1
    if closed and least <= 1 and only_one:
        return copied
    if any(name not in required for name in properties) and (least > 0 or most is not None):
        raise found.unsupported("it is only where all of `properties` are required")
    if least > 1 and not closed:
        raise found.unsupported("keys that are written twice would be counted as two")
    return copied


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _pattern(found: Found) -> Copy:
    if not isinstance(found.value, str):
        raise found.invalid("must be a regular expression, as a string")
    return {"pattern": _translated(found.value, found.place)}


def _translated(pattern: str, place: Place) -> str:
    try:
        return f"^(?:{regex.anywhere(pattern)})$"
    except regex.RegexError as error:
        raise unsupported(place, str(error)) from None


def _format(found: Found) -> Copy:
    if not isinstance(found.value, str):
        raise found.invalid("must be a string")
    if found.value not in FORMATS:
        known = ", ".join(FORMATS)
        raise found.unsupported(f"the format {found.value[:40]!r} is not known; {known} are")
    pattern = FORMATS[found.value]
    return {"format": found.value} if pattern is None else {"pattern": pattern}


def _properties(found: Found) -> Copy:
    if not isinstance(found.value, dict):
        raise found.invalid("must be an object of schemas")
    return {found.keyword: {name: found.read(part, name) for name, part in found.value.items()}}


def _pattern_properties(found: Found) -> Copy:
    if not isinstance(found.value, dict):
        raise found.invalid("must be an object of schemas")
    if len(found.value) > _MOST_PATTERNS:
        raise found.unsupported(f"it has more than {_MOST_PATTERNS} patterns")
    parts = found.value.items()
    copied = {_translated(name, found.place / name): found.read(part, name) for name, part in parts}
    return {"patternProperties": copied}


def _required(found: Found) -> Copy:
    names = found.value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise found.invalid("must be a list of names")
    if len(set(names)) < len(names):
        raise found.invalid("must not name a property twice")
    return {"required": names}


def _schema(found: Found) -> Copy:
    return {found.keyword: found.read(found.value)}


def _items(found: Found) -> Copy:
    """A list is what prefixItems is now, and additionalItems then what items is."""
    if not isinstance(found.value, list):
        return {"items": found.read(found.value)}
    return {"prefixItems": [found.read(part, n) for n, part in enumerate(found.value)]}


def _additional_items(found: Found) -> Copy:
    of_list = isinstance(found.beside.get("items"), list)
    return {"items": found.read(found.value)} if of_list else {}


def _schemas(found: Found) -> Copy:
    if not isinstance(found.value, list) or not found.value:
        raise found.invalid("must be a list of at least one schema")
    return {found.keyword: [found.read(part, n) for n, part in enumerate(found.value)]}


def _one_of(found: Found) -> Copy:
    (copies,) = _schemas(found).values()
    if (pair := found.walk.overlap(found.value)) is not None:
        raise found.unsupported(
            f"a value might fit both {pair[0]} and {pair[1]}; give them a required property of "
            "different constants, or use anyOf"
        )
    return {"allOf": [{"anyOf": copies}]}


def _reference(found: Found) -> Copy:
    if not isinstance(found.value, str):
        raise found.invalid("must be a string")
    return {"$ref": found.walk.refer(found.value, found.place)}


READERS: Mapping[str, Callable[[Found], Copy]] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _number),
    "multipleOf": _multiple_of,
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _count),
    **dict.fromkeys(("minProperties", "maxProperties"), _properties_count),
    "pattern": _pattern,
    "format": _format,
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _schema,
    "required": _required,
    "items": _items,
    "prefixItems": _schemas,
    "additionalItems": _additional_items,
    "allOf": _schemas,
    "anyOf": _schemas,
    "oneOf": _one_of,
    "$ref": _reference,
}
