"""Which keyword of a schema is to blame where the schema as a whole is fitted by nothing.

Whoever compiles grammars says what is wrong, but not where. So it is asked again, without one
keyword after the other: a keyword without which the rest can be used is to blame, and so is what
stands deeper in it without which it can.
"""

from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import Any

from server.chat.constraint.problems import Place

_MOST = 200  # questions, and seconds for them; what was found by then is named
_SECONDS = 1.0
# What has schemas by names that are no keywords, and keywords that others are rather to blame than.
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LAST = frozenset({"type", "required"})

Step = tuple[str | int, ...]


def culprit(schema: Any, place: Place, usable: Callable[[Any], bool]) -> Place:
    """`place` is that of the schema, which is not usable."""
    bounded = _bounded(usable)
    path: Step = ()
    while step := next(
        (step for step in _steps(_at(schema, path)) if bounded(_without(schema, path + step))), None
    ):
        path += step
    for name in path:
        place /= name
    return place


def _bounded(usable: Callable[[Any], bool]) -> Callable[[Any], bool]:
    end, asked = monotonic() + _SECONDS, 0

    def within(schema: Any) -> bool:
        nonlocal asked
        asked += 1
        return asked <= _MOST and monotonic() < end and usable(schema)

    return within


def _steps(value: Any) -> Iterator[Step]:
    """To what can be left out of a value, what says more about it first."""
    if isinstance(value, list):
        yield from ((place,) for place in range(len(value)))
    elif isinstance(value, dict):
        for keyword in sorted(value, key=lambda it: (it in _LAST) - (it in _NAMED)):
            named = value[keyword] if keyword in _NAMED else None
            yield from ((keyword, name) for name in (named if isinstance(named, dict) else ()))
            yield (keyword,)


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        value = value[step]
    return value


def _without(value: Any, path: Sequence[str | int], keyword: bool = True) -> Any:
    """A copy in which anything fits at the end of the path, or nothing stands there.

    keyword: the path begins with one, and not with a name or a place in a list.
    """
    step, *rest = path
    copied = value.copy()
    if rest:
        copied[step] = _without(value[step], rest, not (keyword and step in _NAMED))
    elif isinstance(value[step], dict | bool) and not (keyword and isinstance(value, dict)):
        copied[step] = True
    else:
        del copied[step]
    return copied
