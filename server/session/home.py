"""What every home of snapshots beyond this process's memory can do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from server.session.entry import Entry
from server.session.keys import Key
from server.session.pins import Pins
from server.session.tensors import Parts


class HomeError(Exception):
    """A home that could not do what it was asked; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a home holds now, and what it has given up since the start.

    pinned: bytes of it; None where only others know.
    """

    snapshots: int
    nbytes: int
    evicted: int
    pinned: int | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What another server has done in a home: snapshots it deleted, and pins it took back."""

    gone: tuple[Key, ...] = ()
    unpinned: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.gone or self.unpinned)


@runtime_checkable
class Watched(Protocol):
    """A home that other servers change as well."""

    def news(self) -> News:
        """Since it was last asked; blocks. Raises HomeError."""
        ...


class Home(Protocol):
    """Snapshots as bytes, by key. Every method blocks, may be called from any thread, and
    raises HomeError where the home cannot be reached; changes come from one thread."""

    @property
    def tier(self) -> str: ...

    @property
    def complete(self) -> bool:
        """lengths and entries know of everything that is here. Does not block."""
        ...

    def put(self, batch: Sequence[tuple[Entry, Parts]]) -> None:
        """Keep all; durable on return, unless it syncs at intervals only."""
        ...

    def lacks(self, keys: Sequence[Key]) -> bool:
        """None of them is here; False where only find would tell. Does not block."""
        ...

    def find(self, keys: Sequence[Key]) -> tuple[Key, bytes] | None:
        """The first of `keys` that is here."""
        ...

    def lengths(self, fingerprint: str, owner: str) -> list[int]:
        """The lengths of an owner's kept texts that are no conversations."""
        ...

    def entries(self, owner: str) -> list[Entry]:
        """An owner's, the most recently used first."""
        ...

    def touch(self, keys: Iterable[Key]) -> None:
        """They were used now."""
        ...

    def pin(self, key: Key, pinned: bool) -> None:
        """A pinned one is neither evicted nor does it age."""
        ...

    def pins(self, keys: Sequence[Key]) -> Pins:
        """What is pinned here, and what these would add, if they are here and not pinned yet."""
        ...

    def delete(self, keys: Iterable[Key]) -> None: ...

    def tidy(self) -> bool:
        """What is due: called about once a second and after every batch, and soon again where it
        returns True."""
        ...

    def contents(self) -> Contents:
        """Does not block."""
        ...

    def close(self) -> None: ...
