"""Constants of a schema: whether a model can write them, and they are read as the same."""

from typing import Any

from server.chat.constraint.problems import Place, unsupported

_SHORT_ESCAPES = frozenset("\b\f\n\r\t")
_EXACT = 2**53  # beyond it not every integer is a double


def check_value(value: Any, place: Place, depth: int = 0) -> None:
    """That a constant can be written, and is read as the same."""
    if depth > 16:
        raise unsupported(place, "it is nested too deeply")
    if isinstance(value, str) and not _writable(value):
        raise unsupported(place, "it holds a control character that has no short escape in JSON")
    if isinstance(value, int | float) and not isinstance(value, bool):
        check_number(value, place)
    items = (
        value if isinstance(value, list) else [*value.values()] if isinstance(value, dict) else []
    )
    for item in items:
        check_value(item, place, depth + 1)


def _writable(text: str) -> bool:
    return all((char >= " " and char != "\x7f") or char in _SHORT_ESCAPES for char in text)


def check_number(value: float, place: Place) -> None:
    if abs(value) > _EXACT or "e" in repr(value):
        raise unsupported(
            place, "beyond 2^53, and for fractions below 0.0001, numbers are not exact"
        )
