"""Prompts that are being read, so that the same prompt is not read twice at a time."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from server.session.keys import Key


class Flights:
    """Keys whose snapshots are under way; belongs to one event loop."""

    def __init__(self) -> None:
        self._flights: dict[Key, asyncio.Event] = {}

    def first(self, keys: Iterable[Key | None]) -> asyncio.Event | None:
        """What the first of `keys` that is under way will set when it is kept or given up."""
        return next((self._flights[key] for key in keys if key in self._flights), None)

    def flying(self, keys: Sequence[Key]) -> "Flight":
        """From now to the end of its block the keys are under way, but those that already were."""
        mine = {key: asyncio.Event() for key in keys if key not in self._flights}
        self._flights |= mine
        return Flight(self, mine)

    def landed(self, key: Key) -> None:
        """A key's snapshot is kept."""
        event = self._flights.pop(key, None)
        if event is not None:
            event.set()

    def ended(self, key: Key, event: asyncio.Event) -> None:
        """Whoever made a key's snapshot makes it no more; another may have begun since."""
        if self._flights.get(key) is event:
            self.landed(key)


class Flight:
    """Ends with its block, whether its keys were kept or not."""

    def __init__(self, flights: Flights, mine: Mapping[Key, asyncio.Event]) -> None:
        self._flights, self._mine = flights, mine

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        for key, event in self._mine.items():
            self._flights.ended(key, event)
