"""Waiting for what may hang: once, for a bounded time, and then not at all until it is over."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")


class Patience:
    """Waits for an archive, and no more once it hangs, until what hung is done."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._late = 0

    @property
    def hangs(self) -> bool:
        return self._late > 0

    async def wait(self, done: Awaitable[T], seconds: float) -> T | None:
        """None if it was late, or given up by whoever does it."""
        task = asyncio.ensure_future(done)
        if not self.hangs:
            await asyncio.wait([task], timeout=seconds)
        if task.done():
            return None if task.cancelled() else task.result()
        if not self.hangs:
            log.warning("an archive hangs in a %s: conversations go on without it", self._what)
        self._late += 1
        task.add_done_callback(self._over)
        return None

    def _over(self, task: "asyncio.Future[T]") -> None:
        self._late -= 1
        if not task.cancelled():
            task.exception()  # nobody else would ask for it


def promise(kind: type[T]) -> tuple["asyncio.Future[T]", Callable[[T], object]]:
    """A future, and what any thread calls with its result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def resolve(result: T) -> None:
        if not future.done():
            future.set_result(result)

    def tell_it(result: T) -> None:
        loop.call_soon_threadsafe(partial(resolve, result))

    return future, tell_it


def tell(listener: Callable[..., object], *result: object) -> None:
    try:
        listener(*result)
    except RuntimeError:  # the loop that waited is closed
        log.debug("nobody waits for what was written")
