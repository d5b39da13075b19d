"""What an official SDK types of a request, place by place, beside what our models know of it."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel
from typing_extensions import get_type_hints, is_typeddict

from server.api.fields import Refused

Fate = Literal["known", "refused", "ignored"]
_WRAPPERS = (Annotated, Required, NotRequired)
_UNIONS = (Union, UnionType)
_TELLING = {"type", "role"}  # keys by whose values the branches of a union are told apart
_SAMPLES = {str: "x", int: 4096, float: 0.5, bool: True, object: "x"}
_Around = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A field, or a branch of a union, with a request that has nothing unusual but this.

    param: as errors name it.
    """

    param: str
    fate: Fate
    body: Any
    field: str | None = None


def places(official: Any, model: type[BaseModel]) -> Iterator[Place]:
    """All that the type of a request has, down to where our models take any object."""
    return _Walk().within(official, [model], (), lambda value: value)


@cache
def fields(official: Any) -> dict[str, Any]:
    """The types of a TypedDict's keys, by their names on the wire."""
    hints = get_type_hints(official, include_extras=True)
    return {_alias(hint) or name: hint for name, hint in hints.items()}


class _Walk:
    def __init__(self) -> None:
        self._seen: set[Any] = set()

    def within(
        self, kind: Any, ours: Iterable[Any], path: tuple[str, ...], around: _Around
    ) -> Iterator[Place]:
        """around: the request that has a value of `kind` at `path`."""
        ours = list(ours)
        if any(one is Any or get_origin(one) is dict for one in ours):
            return
        models = [one for one in ours if isinstance(one, type) and issubclass(one, BaseModel)]
        for leaf, listed in _leaves(kind):
            if not is_typeddict(leaf):
                continue
            here = (*path, "0") if listed else path
            put = (lambda value: around([value])) if listed else around
            fitting = [one for one in models if _fits(leaf, one)]
            if fitting:
                yield from self._fields(leaf, fitting, here, put)
            else:
                yield Place(".".join(here), "refused", put(next(samples(leaf))))

    def _fields(
        self, official: Any, models: list[type[BaseModel]], path: tuple[str, ...], around: _Around
    ) -> Iterator[Place]:
        least = _least(official, set().union(*map(_needed, models)))
        for name, kind in fields(official).items():
            if (key := (official, tuple(models), name)) in self._seen:
                continue
            self._seen.add(key)
            param = ".".join((*path, name))
            put = _putting(name, least, around)
            ours = [one for model in models for one in _known(model).get(name, ())]
            neutral = [one.neutral for one in ours if isinstance(one, Refused)]
            asking = [put(value) for value in samples(kind) if not _asks_nothing(value, neutral)]
            if not ours:
                yield Place(param, "ignored", put(next(samples(kind))), name)
            elif not neutral:
                yield Place(param, "known", put(next(samples(kind))), name)
                yield from self.within(kind, ours, (*path, name), put)
            elif asking:
                yield Place(param, "refused", asking[0], name)


def _putting(name: str, beside: dict[str, Any], around: _Around) -> _Around:
    return lambda value: around({**beside, name: value})


def _asks_nothing(value: Any, neutral: list[Any]) -> bool:
    return any(value in values for values in neutral)


def samples(kind: Any) -> Iterator[Any]:
    """JSON of a type: of objects only the required keys, of unions a value of each branch."""
    kind = _bare(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if is_typeddict(kind):
        yield _least(kind)
    elif origin in _UNIONS:
        for branch in inner:
            yield from samples(branch)
    elif origin is Literal:
        yield from inner
    elif origin is dict:
        yield {}
    elif origin is not None:
        yield from ([one] for one in samples(inner[0]))
    elif kind in _SAMPLES:  # not null, nor an object of the SDK's own answers
        yield _SAMPLES[kind]


def _leaves(kind: Any, *, listed: bool = False) -> Iterator[tuple[Any, bool]]:
    """What a value can be, and whether as an item of a list."""
    kind = _bare(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in _UNIONS:
        for branch in inner:
            yield from _leaves(branch, listed=listed)
    elif origin in (None, Literal, dict):
        yield kind, listed
    else:
        yield from _leaves(inner[0], listed=True)


def _bare(kind: Any) -> Any:
    while get_origin(kind) in _WRAPPERS:
        kind = get_args(kind)[0]
    return kind


def _least(official: Any, needed: Set[str] = frozenset()) -> dict[str, Any]:
    """An object of only what its type requires, and these keys."""
    return {
        name: next(samples(kind))
        for name, kind in fields(official).items()
        if get_origin(kind) is Required or name in needed
    }


def _needed(model: type[BaseModel]) -> set[str]:
    fields = model.model_fields.items()
    return {field.alias or name for name, field in fields if field.is_required()}


def _alias(kind: Any) -> str | None:
    return next((one.alias for one in getattr(kind, "__metadata__", ()) if one.alias), None)


@cache
def _known(model: type[BaseModel]) -> dict[str, list[Any]]:
    """By names on the wire: what a field can be, or how it is refused."""
    return {
        field.alias or name: [one for one in field.metadata if isinstance(one, Refused)]
        or list(_ours(field.annotation))
        for name, field in model.model_fields.items()
    }


def _ours(annotation: Any) -> Iterator[Any]:
    """As _leaves, with what is refused by name as its mark."""
    marks = [one for one in getattr(annotation, "__metadata__", ()) if isinstance(one, Refused)]
    origin = get_origin(annotation)
    if marks:
        yield from marks
    elif origin in (*_UNIONS, *_WRAPPERS, list):
        for branch in get_args(annotation)[: 1 if origin is Annotated else None]:
            yield from _ours(branch)
    else:
        yield annotation


def _fits(official: Any, model: type[BaseModel]) -> bool:
    """Whether an object of that type is checked as that model, by what it says that it is."""
    for name in _TELLING & fields(official).keys() & _known(model).keys():
        said = {leaf for leaf, _ in _leaves(fields(official)[name]) if get_origin(leaf) is Literal}
        values = {value for leaf in said for value in get_args(leaf)}
        ours = _known(model)[name]
        taken = {value for one in ours for value in _values(one)}
        if values and taken and not values & taken:
            return False
    return True


def _values(ours: Any) -> tuple[Any, ...]:
    if isinstance(ours, Refused):
        return (None, *ours.neutral)
    return get_args(ours) if get_origin(ours) is Literal else ()
