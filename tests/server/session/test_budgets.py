"""Thousands of conversations with budgets of a few of them: no budget is exceeded at any time.

CONVERSATIONS sets how many; `make soak` asks for 10,000.
"""

import hashlib
import os
import re
from pathlib import Path

import torch

from models.base import State
from server.engine.snapshot import FedIds, Snapshot
from server.session import SessionManager
from tests.server.session.states import ANN, kept_in

COUNT = int(os.environ.get("CONVERSATIONS", "300"))
MEMORY, DISK = 4 * 2**20, 40 * 2**20
FIVE_PERCENT = 1.05
# Heaps that grow in steps, and what waits to be written.
SLACK = 24 * 2**20


def state(number: int) -> Snapshot:
    """As large as one of the bundled model, 207 KB."""
    parts = (torch.full((1, size), float(number)) for size in (2048, 48_000, 2048))
    return Snapshot(State(*parts), torch.zeros(256), FedIds(range(number % 50 + 1)))


def key(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=32).digest()


def used(folder: Path) -> int:
    """Bytes that a folder takes on its disk, as `du` counts them."""
    found = 0
    for path in [folder, *folder.rglob("*")]:
        try:
            found += path.lstat().st_blocks * 512
        except FileNotFoundError:
            continue  # written under this name a moment ago
    return found


def resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


async def converse(sessions: SessionManager, number: int) -> None:
    """A prompt and its answer, which continues the prompt of the same conversation."""
    sessions.keep(ANN, key(2 * number), state(number), None)
    sessions.keep(ANN, key(2 * number + 1), state(number), key(2 * number), turns=1)


async def test_budgets_hold_at_all_times(tmp_path: Path) -> None:
    async with kept_in(tmp_path, memory=MEMORY, budget=DISK) as sessions:
        empty, before = used(tmp_path), 0  # folders and an index of nothing
        for number in range(COUNT):
            await converse(sessions, number)
            assert sessions._store.nbytes <= MEMORY
            if number % 50 == 49:
                await sessions.kept()
                assert used(tmp_path) - empty <= DISK * FIVE_PERCENT
                before = before or resident()
        await sessions.kept()
        assert resident() < before + SLACK
        archive = sessions._archive
        assert archive is not None
        ((home, counts),) = archive.places
        assert counts.writes == 2 * COUNT  # nothing was left out to stay within
        assert home.contents().nbytes <= DISK
        files = (path.stat().st_blocks * 512 for path in (tmp_path / "states").rglob("*.state"))
        assert sum(files) == home.contents().nbytes > DISK * 0.9
        assert sessions._store.nbytes > MEMORY * 0.9

        entries = await sessions.entries("ann")
        assert await sessions.delete("ann", [entry.key for entry in entries])
        assert (len(sessions._store), sessions._store.nbytes) == (0, 0)
        assert (home.contents().snapshots, home.contents().nbytes) == (0, 0)
        assert await sessions.entries("ann") == []
    assert not [path for path in (tmp_path / "states").rglob("*") if path.is_file()]
    assert not list(tmp_path.glob("*-wal"))
    assert used(tmp_path) <= empty + 2**21
