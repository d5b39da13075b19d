"""Definitions of a schema that need themselves, so that no value of any length fits them.

llguidance takes them, and an answer that has begun such a value can never end. `checked` is the
copy that schema.py makes, in which every reference leads to a definition.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

Checked = dict[str, Any] | bool

_PREFIX = "#/$defs/"
_MAPS = ("properties", "patternProperties")
_LISTS = ("prefixItems", "allOf", "anyOf")
_SINGLE = ("items", "additionalProperties")


def ending(definitions: Mapping[str, Checked]) -> frozenset[str]:
    """The names of those that a value may fit: the least set in which each needs only others."""
    users: dict[str, list[str]] = {name: [] for name in definitions}
    for name, checked in definitions.items():
        for used in _references(checked):
            users[used].append(name)
    fitting: set[str] = set()
    todo = [*definitions]
    while todo:
        name = todo.pop()
        if name not in fitting and fits_one(definitions[name], fitting):
            fitting.add(name)
            todo += users[name]
    return frozenset(fitting)


def fits_one(checked: Checked, fitting: AbstractSet[str]) -> bool:
    """Whether some value may fit, if one fits each of the definitions `fitting` and no other."""
    if isinstance(checked, bool):
        return checked
    name, options = _referred(checked), checked.get("anyOf", [True])
    if (name is not None and name not in fitting) or not any(
        fits_one(option, fitting) for option in options
    ):
        return False
    return all(fits_one(part, fitting) for part in _needed(checked))


def _needed(checked: Mapping[str, Any]) -> Iterator[Checked]:
    """What fits one wherever a value fits all of this."""
    yield from checked.get("allOf", ())
    types = checked.get("type")
    if "const" in checked or "enum" in checked:
        return
    if types in ("object", ["object"]):
        yield from _properties(checked)
    elif types in ("array", ["array"]):
        yield from _items(checked)


def without(checked: Checked, names: AbstractSet[str]) -> Checked:
    """The same with false in place of what refers to these: no value fits that either."""
    if isinstance(checked, bool):
        return checked
    if _referred(checked) in names:
        return False
    copied = dict(checked)
    for keyword in _MAPS:
        if keyword in copied:
            parts = copied[keyword].items()
            copied[keyword] = {name: without(part, names) for name, part in parts}
    for keyword in _LISTS:
        if keyword in copied:
            copied[keyword] = [without(part, names) for part in copied[keyword]]
    for keyword in _SINGLE:
        if keyword in copied:
            copied[keyword] = without(copied[keyword], names)
    return copied


def _references(checked: Checked) -> Iterator[str]:
    if isinstance(checked, bool):
        return
    if (name := _referred(checked)) is not None:
        yield name
    maps = (part for keyword in _MAPS for part in checked.get(keyword, {}).values())
    lists = (part for keyword in _LISTS for part in checked.get(keyword, ()))
    single = (checked[keyword] for keyword in _SINGLE if keyword in checked)
    for part in (*maps, *lists, *single):
        yield from _references(part)


def _referred(checked: Mapping[str, Any]) -> str | None:
    reference = checked.get("$ref")
    return reference.removeprefix(_PREFIX) if isinstance(reference, str) else None


def _properties(checked: Mapping[str, Any]) -> Iterator[Checked]:
    """Of an object, what every value has by a name of its own."""
    properties = checked.get("properties", {})
    for name in checked.get("required", ()):
        if name in properties:
            yield properties[name]
        elif not checked.get("patternProperties"):
            yield checked.get("additionalProperties", True)


def _items(checked: Mapping[str, Any]) -> Iterator[Checked]:
    """Of a list, what every value has."""
    first, least = checked.get("prefixItems", []), checked.get("minItems", 0)
    yield from first[:least]
    if least > len(first):
        yield checked.get("items", True)
