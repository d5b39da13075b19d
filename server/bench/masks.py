"""What constraints cost: the time to prepare a grammar, and that of a mask for every token.

Over the World vocabulary of 65,536 rows, without a model: tokens are drawn at random from the
masks, with a seed. A mask's time is from the token before it until it is there, handing it to a
thread and back included.
"""

import json
import random
from collections.abc import Iterator, Mapping
from statistics import quantiles
from time import perf_counter
from typing import Any

import numpy as np

from models.tokenizer import load
from server.bench.report import MaskFigures
from server.chat.constraint import answer_grammar
from server.chat.thinking import Phase
from server.chat.types import Constraint, ConstraintKind
from server.engine.constraint import Grammar, Vocabulary

ROWS = 65_536

_PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 40},
        "born": {"type": "string", "format": "date"},
        "height": {"type": "number", "minimum": 0, "maximum": 3},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 5},
        "address": {
            "type": "object",
            "properties": {
                "street": {"type": "string"},
                "zip": {"type": "string", "pattern": "^[0-9]{5}$"},
            },
            "required": ["street", "zip"],
            "additionalProperties": False,
        },
    },
    "required": ["name", "born", "height", "tags", "address"],
    "additionalProperties": False,
}
_TREE = {
    "type": "object",
    "properties": {
        "value": {"type": ["integer", "string", "null"]},
        "children": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["value", "children"],
    "additionalProperties": False,
}
_KINDS: Mapping[str, tuple[ConstraintKind, Any, Phase]] = {
    "a flat object": ("json_schema", _PERSON, "answer"),
    "a tree": ("json_schema", _TREE, "answer"),
    "any JSON object": ("json_object", "", "answer"),
    "an object of 200 keys": (
        "json_schema",
        {"type": "object", "properties": {f"key{n}": {"type": "integer"} for n in range(200)}},
        "answer",
    ),
    "1,000 choices": ("choice", [f"choice number {n}" for n in range(1000)], "answer"),
    "a regular expression": ("regex", r"([a-z]+@[a-z]+\.(com|org), )*", "answer"),
    "an object after thoughts": ("json_schema", _PERSON, "thought"),
}


def measure(tokens: int) -> list[MaskFigures]:
    """Of each kind, over as many answers as it takes for so many tokens."""
    tokenizer = load("world", ROWS)
    vocabulary = Vocabulary(tokenizer, ROWS)
    return [_figures(name, vocabulary, tokens) for name in _KINDS]


def _figures(name: str, vocabulary: Vocabulary, tokens: int) -> MaskFigures:
    kind, source, phase = _KINDS[name]
    text = source if isinstance(source, str) else json.dumps(source)
    start = perf_counter()
    grammar = vocabulary.compile(answer_grammar(Constraint(kind, text, name), phase).source)
    prepared = perf_counter() - start
    times: list[float] = []
    rng = random.Random(1)
    while len(times) < tokens:
        times += _answer(grammar, rng, tokens - len(times))
    cuts = quantiles(times, n=100)
    return MaskFigures(
        name, len(times), prepared * 1e3, cuts[49] * 1e6, cuts[98] * 1e6, max(times) * 1e6
    )


def _answer(grammar: Grammar, rng: random.Random, longest: int) -> Iterator[float]:
    """The times of an answer's masks, the first of which nothing waits for in a server."""
    matcher = grammar.matcher()
    mask = matcher.mask()
    for _ in range(longest):
        ids = np.flatnonzero(np.unpackbits(mask.view(np.uint8), count=ROWS, bitorder="little"))
        token = int(rng.choice(ids))
        if token == 0:
            return
        start = perf_counter()
        matcher.advance(token)
        complete = matcher.complete
        mask = matcher.mask()
        yield perf_counter() - start
        if complete:
            return
