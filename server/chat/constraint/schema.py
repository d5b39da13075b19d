"""JSON schemas, made ready for llguidance: what it enforces goes through, all else is refused.

llguidance ignores what it does not know, and reads some keywords otherwise than draft 2020-12
does. A schema is therefore walked once, every keyword by its own rule, into a copy that holds only
what llguidance enforces to the letter. References are resolved on the way, and only what is
referred to is looked at. The copy may allow less than its schema, never more.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from server.chat.constraint.disjoint import overlapping
from server.chat.constraint.finite import ending, fits_one, without
from server.chat.constraint.found import Found
from server.chat.constraint.keywords import ANNOTATIONS, REFUSED
from server.chat.constraint.meetings import DEEPEST, TooDeepError, meeting_patterns
from server.chat.constraint.problems import Place, invalid, unsupported
from server.chat.constraint.readers import READERS

_DEEPEST = 64
_MOST = 5_000  # schemas in a schema
_MOST_MEETING = 10  # patterns; the time that llguidance takes for them doubles with each

Schema = dict[str, Any] | bool


def checked_schema(schema: Any, param: str) -> Schema:
    """The copy of a schema that came in the field `param`.

    Raises InvalidRequest, with the keyword's place in dots, for what is no JSON schema and for
    what cannot be enforced.
    """
    return _Walk(schema, Place(param)).copy()


class _Walk:
    """One walk over a schema; see readers.Walk for what it offers to the keywords."""

    def __init__(self, root: Any, place: Place) -> None:
        self._root = root
        self._place = place
        self._count = 0
        self._names: dict[str, str] = {}  # of definitions, by what refers to them
        self._referring: dict[str, Place] = {}  # the first reference to each
        self._pending: list[tuple[str, Any, Place]] = []

    def copy(self) -> Schema:
        copied = self.read(self._root, self._place, 0)
        definitions: dict[str, Schema] = {}
        while self._pending:
            name, target, place = self._pending.pop()
            definitions[name] = self.read(target, place, 0)
        copied, definitions = self._finite(copied, definitions)
        if isinstance(copied, bool):
            return copied
        if self._meeting(copied, definitions) > _MOST_MEETING:
            why = f"more than {_MOST_MEETING} patterns and lengths may have to hold for one string"
            raise unsupported(self._place, why)
        return {**copied, "$defs": definitions} if definitions else copied

    def _meeting(self, copied: Mapping[str, Any], definitions: Mapping[str, Schema]) -> int:
        try:
            return meeting_patterns(copied, definitions)
        except TooDeepError:
            why = f"with what it refers to, it is nested more than {DEEPEST} levels deep"
            raise unsupported(self._place, why) from None

    def _finite(
        self, copied: Schema, definitions: Mapping[str, Schema]
    ) -> tuple[Schema, dict[str, Schema]]:
        """The same without the definitions whose values could never end."""
        finite = ending(definitions)
        endless = definitions.keys() - finite
        if fits_one(copied, definitions.keys()) and not fits_one(copied, finite):
            first = next(name for name in self._referring if name in endless)
            why = "what it refers to needs itself, so that no value of it ends"
            raise unsupported(self._referring[first], why)
        left = {name: without(definitions[name], endless) for name in definitions if name in finite}
        return without(copied, endless), left

    def read(self, schema: Any, place: Place, depth: int) -> Schema:
        """The copy of one schema, `depth` levels below the root or a definition."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise invalid(place, "must be a JSON schema, an object or a boolean")
        self._count += 1
        if self._count > _MOST:
            raise unsupported(self._place, f"it holds more than {_MOST} schemas")
        if depth > _DEEPEST:
            raise unsupported(self._place, f"it is nested more than {_DEEPEST} levels deep")
        copied: dict[str, Any] = {}
        for keyword, value in schema.items():
            _add(copied, self._keyword(keyword, value, schema, place, depth))
        return copied

    def _keyword(
        self, keyword: str, value: Any, schema: Mapping[str, Any], place: Place, depth: int
    ) -> Mapping[str, Any]:
        at = place / keyword
        if keyword in {"$id", "id"} and schema is not self._root:
            raise unsupported(at, "below the root it would change what references refer to")
        if keyword in ANNOTATIONS or (keyword.startswith("x-") and keyword != "x-guidance"):
            return {}
        if keyword in READERS:
            return READERS[keyword](Found(value, at, schema, self, depth))
        neutral, why = REFUSED.get(keyword, ((), "it is no keyword of JSON Schema"))
        if any(type(value) is type(n) and value == n for n in neutral):
            return {}
        raise unsupported(at, why)

    def refer(self, reference: str, place: Place) -> str:
        """The same reference within the copy."""
        if reference not in self._names:
            target = self.resolve(reference)
            if target is None:
                raise _unresolved(reference, place)
            self._names[reference] = f"d{len(self._names)}"
            self._referring[self._names[reference]] = place
            steps = ".".join(_steps(reference))
            where = self._place / steps if steps else self._place
            self._pending.append((self._names[reference], target, where))
        return f"#/$defs/{self._names[reference]}"

    def resolve(self, reference: str) -> Any:
        """What a reference into this schema refers to; None for any other, and for nothing."""
        if reference != "#" and not reference.startswith("#/"):
            return None
        found = self._root
        for step in _steps(reference):
            if isinstance(found, dict) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found

    def overlap(self, options: list[Any]) -> tuple[int, int] | None:
        """The first two of some schemas that one value may fit."""
        return overlapping(options, self.resolve)


def _steps(reference: str) -> list[str]:
    """Of a JSON pointer in a fragment."""
    parts = unquote(reference).split("/")[1:]
    return [part.replace("~1", "/").replace("~0", "~") for part in parts]


def _unresolved(reference: str, place: Place) -> Exception:
    if reference.startswith("#/"):
        return invalid(place, f"refers to {reference[:100]!r}, which is not there")
    return unsupported(place, "only references within the schema, such as '#/$defs/name', are")


def _add(copied: dict[str, Any], more: Mapping[str, Any]) -> None:
    """What is said twice, as patterns of a format and of its own, has to hold both times."""
    for keyword, value in more.items():
        if keyword not in copied:
            copied[keyword] = value
        elif keyword == "allOf":
            copied["allOf"] = [*copied["allOf"], *value]
        else:
            copied["allOf"] = [*copied.get("allOf", []), {keyword: value}]
