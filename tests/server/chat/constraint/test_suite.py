"""The JSON Schema Test Suite: nothing invalid is accepted, and refusals name their keyword."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.engine.constraint import GrammarError
from server.errors import InvalidRequest
from tests.server.chat.constraint.matching import accepts, grammar_of

SUITE = Path(__file__).parents[3] / "data" / "json_schema_test_suite" / "draft2020-12.json"
GROUPS: dict[str, list[Any]] = json.loads(SUITE.read_text())
# Where valid values are possible but for how JSON is written here: whole numbers without a
# fraction, keys in the schema's order, and formats that are narrower than their standards.
WHOLE = {
    "additionalProperties", "allOf", "anyOf", "boolean_schema", "const", "default", "enum",
    "exclusiveMaximum", "exclusiveMinimum", "infinite-loop-detection", "items", "maxItems",
    "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "pattern",
    "prefixItems", "properties", "required", "type", "optional/format/date",
    "optional/format/date-time", "optional/format/ipv4", "optional/format/uri",
    "optional/format/uuid",
}  # fmt: skip


def write(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("name", GROUPS)
def test_no_invalid_value_is_accepted(name: str) -> None:
    for group in GROUPS[name]:
        try:
            grammar = grammar_of("json_schema", group["schema"])
        except (InvalidRequest, GrammarError):
            continue
        for case in group["tests"]:
            if accepts(grammar, write(case["data"])):
                assert case["valid"], (group["description"], case["description"])


def refusal(schema: Any) -> InvalidRequest | None:
    """None for one that is taken, or fits nothing."""
    try:
        grammar_of("json_schema", schema)
    except InvalidRequest as error:
        return error
    except GrammarError:
        return None
    return None


@pytest.mark.parametrize("name", GROUPS)
def test_a_refusal_names_the_keyword_where_it_stands(name: str) -> None:
    for group in GROUPS[name]:
        error = refusal(group["schema"])
        if error is None:
            continue
        assert error.param is not None
        assert error.param in error.message
        found, steps = group["schema"], error.param.split(".")[1:]
        while steps and not (isinstance(found, dict) and ".".join(steps) in found):
            step = steps.pop(0)
            found = found[int(step) if isinstance(found, list) else step]


def test_most_of_what_is_valid_can_be_written() -> None:
    valid = accepted = 0
    for name in WHOLE:
        for group in GROUPS[name]:
            try:
                grammar = grammar_of("json_schema", group["schema"])
            except (InvalidRequest, GrammarError):
                continue
            texts = [write(case["data"]) for case in group["tests"] if case["valid"]]
            valid += len(texts)
            accepted += sum(accepts(grammar, text) for text in texts)
    assert valid > 250
    assert accepted / valid > 0.94
