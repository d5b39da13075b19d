"""The waiting line: who gets the next free slot."""

from collections import OrderedDict, deque
from collections.abc import Iterator

from server.engine.sequence import Sequence


class Line:
    """Sequences without a slot, the lowest priority number first; within it callers take turns.

    A caller's own sequences keep their order, so that no number of requests of one caller makes
    another wait for more than the next free slot.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, OrderedDict[str, deque[Sequence]]] = {}

    def __iter__(self) -> Iterator[Sequence]:
        for callers in self._waiting.values():
            for sequences in callers.values():
                yield from sequences

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def priority(self) -> int:
        """Of whoever is next; the line must not be empty."""
        return min(self._waiting)

    def add(self, sequence: Sequence) -> None:
        """At the end."""
        self._own(sequence).append(sequence)

    def put_first(self, sequence: Sequence) -> None:
        """Before all others of its priority."""
        place = sequence.submit.place
        self._own(sequence).appendleft(sequence)
        self._waiting[place.priority].move_to_end(place.caller, last=False)

    def pop(self) -> Sequence:
        """Whoever is next; after this its caller is the last in turn."""
        callers = self._waiting[self.priority]
        caller, sequences = next(iter(callers.items()))
        sequence = sequences.popleft()
        callers.move_to_end(caller)
        self._tidy(sequence)
        return sequence

    def remove(self, sequence: Sequence) -> None:
        self._own(sequence).remove(sequence)
        self._tidy(sequence)

    def clear(self) -> None:
        self._waiting.clear()

    def _own(self, sequence: Sequence) -> deque[Sequence]:
        place = sequence.submit.place
        return self._waiting.setdefault(place.priority, OrderedDict()).setdefault(
            place.caller, deque()
        )

    def _tidy(self, sequence: Sequence) -> None:
        place = sequence.submit.place
        callers = self._waiting[place.priority]
        if not callers[place.caller]:
            del callers[place.caller]
        if not callers:
            del self._waiting[place.priority]
