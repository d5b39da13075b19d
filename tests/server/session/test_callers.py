"""What a caller finds, and how long it takes, does not depend on what other callers have."""

import gc
import random
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from server.session import SessionManager
from server.session.keys import Key, conversation_key, extend
from tests.server.session.states import kept_in, snapshot

ROUNDS, TEXTS = 25, 8
# A lookup in memory and on disk takes tens of microseconds more where it finds something.
MOST = 1.25


def keys(caller: str, text: str) -> list[Key]:
    """The prefixes of a conversation of three messages."""
    key, found = conversation_key("model", caller), []
    for role in ("system", "user", "assistant"):
        key = extend(key, role, text)
        found.append(key)
    return found


async def seconds(sessions: SessionManager, asked: Sequence[Sequence[Key]]) -> float:
    began = time.perf_counter()
    for one in asked:
        assert (await sessions.resume(one)).segments == 0
    return time.perf_counter() - began


async def kept(sessions: SessionManager, caller: str, text: str) -> None:
    parent = None
    for number, key in enumerate(keys(caller, text)):
        sessions.keep(("model", caller), key, snapshot(number), parent)
        parent = key
    await sessions.kept()


async def test_lookups_take_as_long_whatever_another_caller_has(tmp_path: Path) -> None:
    shared = [f"known {number}" for number in range(TEXTS)]
    unknown = [f"fresh {number}" for number in range(TEXTS)]
    async with kept_in(tmp_path, memory=2 * snapshot(0).nbytes) as sessions:  # the rest is on disk
        for text in shared:
            await kept(sessions, "ann", text)
        cases = [[keys("bob", text) for text in texts] for texts in (shared, unknown)]
        for case in cases:  # folders of the file system are known from here on
            await seconds(sessions, case)
        times: list[list[float]] = [[], []]
        gc.disable()
        try:
            for _ in range(ROUNDS):
                for number in random.sample((0, 1), 2):
                    times[number].append(await seconds(sessions, cases[number]))
        finally:
            gc.enable()
        one, other = map(statistics.median, times)
        assert 1 / MOST < one / other < MOST, (one, other)


async def test_a_caller_finds_nothing_of_anothers_text_and_all_of_its_own(tmp_path: Path) -> None:
    async with kept_in(tmp_path) as sessions:
        await kept(sessions, "ann", "Hello")
        assert (await sessions.resume(keys("ann", "Hello"))).segments == 3
        assert (await sessions.resume(keys("bob", "Hello"))).segments == 0
