"""Answers that go on without a client: who wants to hear them can come later."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

Event = dict[str, Any]


class Run:
    """One answer under way; its events are kept for as long as it runs."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        self.cancel = cancel
        self.events: list[Event] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: Event) -> None:
        self.events.append(event)
        self._wake()

    async def follow(self, start: int) -> AsyncIterator[Event]:
        """The events from the one with that place on, also those that are still to come."""
        while True:
            news = self._news
            while start < len(self.events):
                yield self.events[start]
                start += 1
            if self._task is None or self._task.done():
                return
            await news.wait()

    async def end(self) -> None:
        """Wait until it has ended."""
        if self._task is not None:
            await asyncio.wait({self._task})

    def begin(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        self._task = asyncio.create_task(work)
        self._task.add_done_callback(lambda _: self._wake())
        return self._task

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


class Runs:
    """Those under way, by owner and id."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], Run] = {}

    def find(self, owner: str, id: str) -> Run | None:
        return self._runs.get((owner, id))

    def begin(self, owner: str, id: str, run: Run, work: Coroutine[Any, Any, None]) -> None:
        """Let it run until `work`, which adds its events, has ended."""
        self._runs[owner, id] = run
        run.begin(work).add_done_callback(lambda _: self._runs.pop((owner, id), None))
