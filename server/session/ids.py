"""How long the kept texts are that are no conversation.

Such a text is named by the hash of its exact ids (session/keys.py), so it is found only where its
length is known. The latest lengths of each caller are remembered; forgetting one costs a
computation and nothing else.
"""

from collections import OrderedDict
from typing import Any

from server.session.entry import Owner

_LENGTHS = 1024  # of one owner, all of which are looked up with every request
_OWNERS = 1024


class KnownLengths:
    """By owner: the fingerprint of what turns ids into states, and the caller."""

    def __init__(self) -> None:
        self._owners: OrderedDict[Owner, OrderedDict[int, None]] = OrderedDict()

    def up_to(self, owner: Owner, longest: int) -> list[int]:
        """Rising."""
        return sorted(length for length in self._owners.get(owner, ()) if length <= longest)

    def note(self, owner: Owner, length: int) -> None:
        lengths = self._owners.setdefault(owner, OrderedDict())
        self._owners.move_to_end(owner)
        lengths[length] = None
        lengths.move_to_end(length)
        _shorten(lengths, _LENGTHS)
        _shorten(self._owners, _OWNERS)


def _shorten(entries: "OrderedDict[Any, Any]", most: int) -> None:
    while len(entries) > most:
        entries.popitem(last=False)
