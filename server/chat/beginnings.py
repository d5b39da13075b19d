"""What was made of the messages of conversations, for the request that sends them once more.

A client sends the whole history with every turn. What a message is made into, whatever follows it,
is made once and found again by comparing, which takes microseconds where making it takes
milliseconds. Short lists are not worth even that, and there are many of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_LISTS = 128
_ITEMS = 2**13  # of all lists: the garbage collector looks through them now and then
_CHARACTERS = 2**23  # likewise of all
# Made sooner than found: so many items, of so many characters.
_FEW, _SHORT = 8, 2**13

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class _Known(Generic[Item, Made]):
    """A list; characters: of its items."""

    name: object
    items: Sequence[Item]
    made: Sequence[Made]
    characters: int


class Beginnings(Generic[Item, Made]):
    """The latest lists, and what was made of each of their items.

    Equal items have to be worth the same. Several threads may use it: at worst one of two lists
    that come at once is not remembered.
    """

    def __init__(self, characters: Callable[[Item], int]) -> None:
        """characters: of an item, for the bound of what is held."""
        self._characters = characters
        self._latest: tuple[_Known[Item, Made], ...] = ()  # the latest first

    def made(
        self,
        name: object,
        items: Sequence[Item],
        make: Callable[[Sequence[Made]], Sequence[Made]],
    ) -> Sequence[Made]:
        """What `make` returns, one for each item; it is given those of the first few items.

        name: of all that these depend on beside the items.
        """
        if len(items) <= _FEW and self._size(items) <= _SHORT:
            return make(())
        near, shared = _nearest(self._latest, name, items)
        if near is None:
            made = make(())
            self._remember(_Known(name, items, made, self._size(items)))
            return made
        made = make(near.made[:shared])
        if shared == len(items):
            self._remember(near, instead=near)
        else:
            size = near.characters - self._size(near.items[shared:]) + self._size(items[shared:])
            goes_on = shared == len(near.items)
            held = [*near.items[:shared], *items[shared:]]  # which shares what is equal
            self._remember(_Known(name, held, made, size), instead=near if goes_on else None)
        return made

    def forget(self) -> None:
        """All of it."""
        self._latest = ()

    def _size(self, items: Sequence[Item]) -> int:
        return sum(map(self._characters, items))

    def _remember(
        self, known: _Known[Item, Made], instead: _Known[Item, Made] | None = None
    ) -> None:
        others = (one for one in self._latest if one is not instead)
        self._latest = tuple(_fitting((known, *others)))


def _nearest(
    latest: Iterable[_Known[Item, Made]], name: object, items: Sequence[Item]
) -> tuple[_Known[Item, Made] | None, int]:
    """The list that begins most like these items, and how many of them it shares."""
    nearest, most = None, 0
    for known in latest:
        if known.name != name or known.items[0] != items[0]:
            continue
        shared = _shared(known.items, items)
        if shared > most:
            nearest, most = known, shared
        if shared + _FEW >= len(items):
            break
    return nearest, most


def _shared(one: Sequence[Item], other: Sequence[Item]) -> int:
    """How many items are the same in both, from the first on."""
    low, high = 0, min(len(one), len(other))
    middle = high
    while low < high:
        if list(one[low:middle]) == list(other[low:middle]):
            low = middle
        else:
            high = middle - 1
        middle = (low + high + 1) // 2
    return low


def _fitting(latest: Iterable[_Known[Item, Made]]) -> Iterator[_Known[Item, Made]]:
    """Those within the bounds; the first come first."""
    lists, items, characters = _LISTS, _ITEMS, _CHARACTERS  # that may still come
    for known in latest:
        if lists and len(known.items) <= items and known.characters <= characters:
            lists, items = lists - 1, items - len(known.items)
            characters -= known.characters
            yield known
