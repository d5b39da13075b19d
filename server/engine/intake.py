"""Commands on their way from the event loop to the engine's thread."""

import queue
from collections.abc import Callable, Iterator
from time import perf_counter

from server.engine.messages import Command

# An engine that was idle waits so long for the next of several requests that are about to come, and
# so long for all of them: about as long as the event loop takes for one, and for 32.
_NEXT_S, _ALL_S = 0.003, 0.030


class Intake:
    """coming: whether more requests are about to be handed over.

    A step that feeds the first of many requests alone makes the others wait for its end, and what
    it shares the processor with is their preparation.
    """

    def __init__(self, coming: Callable[[], bool]) -> None:
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._coming = coming

    def put(self, command: Command) -> None:
        """Does not block."""
        self._queue.put(command)

    def take(self, *, idle: bool) -> Iterator[Command]:
        """What has arrived. Where the engine is idle, waits for a first command, and
        for a moment for those that are about to come."""
        if not idle:
            yield from self._waiting()
            return
        yield self._queue.get()
        end = perf_counter() + _ALL_S
        while True:
            yield from self._waiting()
            left = end - perf_counter()
            if left <= 0 or not self._coming():
                return
            try:
                yield self._queue.get(timeout=min(_NEXT_S, left))
            except queue.Empty:
                return

    def _waiting(self) -> Iterator[Command]:
        while True:
            try:
                yield self._queue.get_nowait()
            except queue.Empty:
                return
