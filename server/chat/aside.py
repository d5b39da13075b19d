"""Long work beside the event loop, short work in it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

LARGE = 2_000  # characters or ids: about a millisecond of the slowest tokenizer

T = TypeVar("T")


async def aside(work: Callable[[], T], size: int) -> T:
    """The result of `work`, from a thread if its size, in characters or ids, is large."""
    return await asyncio.to_thread(work) if size > LARGE else work()
