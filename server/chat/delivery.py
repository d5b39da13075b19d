"""What waits to be read of an answer, within a bound.

A client that opens a stream and reads nothing fills the connection's buffers first, then this. So
that it does not fill the memory, its answer ends then, as one does whose time is over: the state is
kept, and whoever reads on after all finds everything up to there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

from server.errors import AnswerFailed

MOST_WAITING = 4096  # events, which are about as many tokens: more than stalls of a network cost

E = TypeVar("E")


class Delivery(Generic[E]):
    """Events for one listener, in order; late: called when more wait than may."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._queue: asyncio.Queue[E | AnswerFailed | None] = asyncio.Queue()
        self._late = late

    def put(self, event: E) -> None:
        self._queue.put_nowait(event)
        if self._queue.qsize() == MOST_WAITING:
            self._late()

    def fail(self, error: AnswerFailed) -> None:
        """It is raised behind what was put before."""
        self._queue.put_nowait(error)

    def end(self) -> None:
        self._queue.put_nowait(None)

    async def events(self) -> AsyncIterator[E]:
        """To the end. Raises AnswerFailed."""
        while (event := await self._queue.get()) is not None:
            if isinstance(event, AnswerFailed):
                raise event
            yield event
