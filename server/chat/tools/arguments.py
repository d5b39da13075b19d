"""The arguments of a call in the one form that is the same however a client sends them back."""

import json
from typing import Any

_EXACT = 2**53  # whole floats up to here are written as integers, as JavaScript does


def canonical_arguments(text: str) -> str:
    """JSON with one space after commas and colons, keys in their order; "" is an empty object.

    Text that is not JSON, as a call that was cut, keeps its words.
    """
    value = parsed_arguments(text)
    return text.strip() if value is None else written_json(value)


def parsed_arguments(text: str) -> Any:
    """What the text says; None where it is no JSON."""
    if not text.strip():
        return {}
    try:
        return json.loads(text, parse_float=_number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def written_json(value: Any) -> str:
    """As Python writes it, which is how models were shown JSON; half surrogates stay escapes."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _number(text: str) -> float | int:
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def _refuse(text: str) -> Any:
    raise ValueError(text)
