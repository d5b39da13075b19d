"""A keyword as it is found in a schema, and what its reader may ask of the walk."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.chat.constraint.problems import Place, invalid, unsupported

Copy = Mapping[str, Any]


class Walk(Protocol):
    """What the keywords need of the walk over their schema."""

    def read(self, schema: Any, place: Place, depth: int) -> dict[str, Any] | bool: ...

    def refer(self, reference: str, place: Place) -> str: ...

    def overlap(self, options: list[Any]) -> tuple[int, int] | None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A keyword's value in a schema; beside: all of that schema, `depth` levels down."""

    value: Any
    place: Place
    beside: Mapping[str, Any]
    walk: Walk
    depth: int

    @property
    def keyword(self) -> str:
        return str(self.place).rpartition(".")[2]

    def read(self, schema: Any, *steps: str | int) -> dict[str, Any] | bool:
        """The copy of a schema that stands in the value, `steps` below it."""
        place = self.place
        for step in steps:
            place /= step
        return self.walk.read(schema, place, self.depth + 1)

    def invalid(self, message: str) -> Exception:
        return invalid(self.place, message)

    def unsupported(self, why: str) -> Exception:
        return unsupported(self.place, why)
