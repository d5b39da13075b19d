"""What waits to be read of an answer, within a bound; what goes on from one another is read as one.

A client that opens a stream and reads nothing fills the connection's buffers first, then this. So
that it does not fill the memory, its answer ends then, as one does whose time is over: the state is
kept, and whoever reads on after all finds everything up to there.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from server.chat.joined import goes_on, joined
from server.errors import AnswerFailed

MOST_WAITING = 4096  # tokens, about: more than stalls of a network cost

E = TypeVar("E")


class Delivery(Generic[E]):
    """Events for one listener, in order; late: called when more wait than may."""

    def __init__(self, late: Callable[[], None]) -> None:
        self._waiting: deque[tuple[E, float]] = deque()
        self._tokens = 0.0  # that they tell of
        self._late = late
        self._came = asyncio.Event()
        self._error: AnswerFailed | None = None
        self._ended = False

    def put(self, event: E, tokens: float = 1) -> None:
        """tokens: that it tells of, about."""
        before = self._tokens
        self._waiting.append((event, tokens))
        self._tokens += tokens
        self._came.set()
        if before < MOST_WAITING <= self._tokens:
            self._late()

    def fail(self, error: AnswerFailed) -> None:
        """It is raised behind what was put before."""
        self._error = self._error or error
        self.end()

    def end(self) -> None:
        self._ended = True
        self._came.set()

    async def begun(self, seconds: float) -> None:
        """Until something can be read or nothing will be, or for so long.

        Raises AnswerFailed where it failed and there is nothing before that.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._came.wait()
        if self._error is not None and not self._waiting:
            raise self._error

    async def events(self) -> AsyncIterator[E]:
        """To the end. Raises AnswerFailed."""
        while True:
            await self._came.wait()
            while self._waiting:
                yield self._next()
            if self._ended:
                break
            self._came.clear()
        if self._error is not None:
            raise self._error

    def _next(self) -> E:
        parts = [self._pop()]
        while self._waiting and goes_on(parts[-1], self._waiting[0][0]):
            parts.append(self._pop())
        return joined(parts)

    def _pop(self) -> E:
        event, tokens = self._waiting.popleft()
        self._tokens -= tokens
        return event
