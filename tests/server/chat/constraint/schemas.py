"""JSON schemas for tests: random ones of every keyword that is enforced, and those of the suite."""

import random
from collections.abc import Callable
from typing import Any

from server.chat.constraint.formats import FORMATS

Schema = dict[str, Any]

_WORDS = ("red", "green", "blue", "été", "日本", 'a"b', "tab\there", "", "zero 0", "<&>/\\")
_PATTERNS = (
    "^[a-z]{2,5}$",
    r"^\d{3}-\d{4}$",
    "ab+c?",
    r"^(foo|bar)[.\-_][^\s/]{1,4}$",
    r"^\w+@\w+\.(com|org)$",
    r"^[\w.-]{1,6}\S$",
    "x$|^y",
    "^[^\\W\\d_]{1,3}$",
    "[A-F0-9]{2}(:[A-F0-9]{2}){2}",
)


def random_schema(rng: random.Random, depth: int = 2) -> Schema:
    """Satisfiable by something short, mostly; some ask for what is refused."""
    makers: list[Callable[[random.Random, int], Schema]] = [_string, _number, _constant, _enum]
    if depth:
        makers += [_object, _object, _array, _array, _union, _both]
    schema = rng.choice(makers)(rng, depth - 1)
    if rng.random() < 0.2:
        schema = {"title": "T", "description": "d", **schema, "default": None}
    return schema


def root_schema(seed: int) -> Schema:
    """The same for the same seed; every fifth refers to itself or to definitions."""
    rng = random.Random(seed)
    if seed % 5:
        return random_schema(rng)
    leaf = random_schema(rng, 1)
    node: Schema = {
        "type": "object",
        "properties": {
            "value": {"$ref": "#/$defs/leaf~1of%20it"},
            "next": {"anyOf": [{"type": "null"}, {"$ref": rng.choice(("#", "#/$defs/node"))}]},
        },
        "required": ["next"],
        "additionalProperties": False,
    }
    return {**node, "$defs": {"leaf/of it": leaf, "node": node, "unused": {"not": {}}}}


def _string(rng: random.Random, _: int) -> Schema:
    kind = rng.randrange(4)
    if kind == 0:
        return {"type": "string", "format": rng.choice(sorted(FORMATS))}
    if kind == 1:
        return {"type": "string", "pattern": rng.choice(_PATTERNS)}
    least = rng.randrange(4)
    return {"type": "string", "minLength": least, "maxLength": least + rng.randrange(5)}


def _number(rng: random.Random, _: int) -> Schema:
    kind = rng.choice(("integer", "number"))
    low = rng.choice((-1000, -7.5, 0, 0.1, 3, 99))
    schema: Schema = {"type": kind, rng.choice(("minimum", "exclusiveMinimum")): low}
    schema[rng.choice(("maximum", "exclusiveMaximum"))] = low + rng.choice((2, 10.25, 1000))
    if rng.random() < 0.3:
        schema["multipleOf"] = rng.choice((1, 2, 0.5, 0.25))
    return schema


def _constant(rng: random.Random, _: int) -> Schema:
    return {"const": _value(rng, 2)}


def _enum(rng: random.Random, _: int) -> Schema:
    return {"enum": [_value(rng, 1) for _ in range(rng.randrange(1, 5))]}


def _value(rng: random.Random, depth: int) -> Any:
    leaves = (None, True, False, rng.randrange(-50, 50), rng.randrange(100) / 4, rng.choice(_WORDS))
    kind = rng.randrange(8)
    if depth and kind == 0:
        return [_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    if depth and kind == 1:
        return {rng.choice(_WORDS): _value(rng, depth - 1) for _ in range(rng.randrange(3))}
    return rng.choice(leaves)


def _object(rng: random.Random, depth: int) -> Schema:
    names = rng.sample(("a", "b", "name", "ключ", "with space", 'q"uote'), rng.randrange(4))
    schema: Schema = {
        "type": "object",
        "properties": {name: random_schema(rng, depth) for name in names},
        "required": [name for name in names if rng.random() < 0.7],
    }
    further = rng.randrange(4)
    if further < 2:
        schema["additionalProperties"] = False
    elif further == 2:
        schema["additionalProperties"] = random_schema(rng, 0)
    if rng.random() < 0.2:
        schema["patternProperties"] = {"^x_[a-z]{1,3}$": random_schema(rng, 0)}
    if rng.random() < 0.2:
        schema[rng.choice(("minProperties", "maxProperties"))] = len(names) + rng.randrange(2)
    return schema


def _array(rng: random.Random, depth: int) -> Schema:
    least = rng.randrange(3)
    schema: Schema = {"type": "array", "minItems": least, "maxItems": least + rng.randrange(3)}
    schema["items"] = random_schema(rng, depth)
    if rng.random() < 0.3:
        schema["prefixItems"] = [random_schema(rng, 0) for _ in range(rng.randrange(1, 3))]
    if rng.random() < 0.1:
        schema["uniqueItems"] = rng.random() < 0.5
    return schema


def _union(rng: random.Random, depth: int) -> Schema:
    if rng.random() < 0.4:
        return {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": kind}, kind: random_schema(rng, depth)},
                    "required": ["kind"],
                    "additionalProperties": False,
                }
                for kind in ("cat", "dog")
            ]
        }
    return {"anyOf": [random_schema(rng, depth) for _ in range(rng.randrange(1, 4))]}


def _both(rng: random.Random, depth: int) -> Schema:
    """Two schemas that something is likely to fit."""
    if rng.random() < 0.5:
        return {"allOf": [_string(rng, depth), {"maxLength": 60}, {"not": False}]}
    return {
        "type": "object",
        "allOf": [
            {"properties": {"a": random_schema(rng, depth)}, "required": ["a"]},
            {"properties": {"b": random_schema(rng, 0)}, "additionalProperties": False},
            {"properties": {"a": True, "b": True}, "maxProperties": 3},
        ][: rng.randrange(1, 3)],
    }
