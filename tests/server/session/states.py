"""Snapshots and archives for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch

from models.base import State
from server.engine.snapshot import FedIds, Snapshot
from server.session import Archive, DiskHome, Entry, Packing, SessionManager, SnapshotStore

ANN, BOB = ("model", "ann"), ("model", "bob")


def snapshot(*fed: int) -> Snapshot:
    made = torch.Generator().manual_seed(sum(fed))
    parts = (torch.randn(1, 1, 8, generator=made) for _ in range(3))
    return Snapshot(State(*parts), torch.randn(4, generator=made), FedIds(fed))


def entry(name: str, parent: str | None = None) -> Entry:
    return Entry(name.encode() * 32, parent.encode() * 32 if parent else None, "model", "ann", 1)


def same(one: Snapshot, other: Snapshot) -> bool:
    tensors = zip(
        (*one.state.tensors, one.logits), (*other.state.tensors, other.logits), strict=True
    )
    return one.fed.to_list() == other.fed.to_list() and all(torch.equal(a, b) for a, b in tensors)


def disk(
    folder: Path, budget: int = 10**8, packing: Packing | None = None, **more: Any
) -> DiskHome:
    return DiskHome(folder, budget, describe=(packing or Packing()).describe, **more)


def settled(home: DiskHome) -> DiskHome:
    """With an index that is complete."""
    while home.tidy():
        pass
    return home


@asynccontextmanager
async def kept_in(
    folder: Path, packing: Packing | None = None, memory: int = 10**8, **more: Any
) -> AsyncIterator[SessionManager]:
    """Sessions of one process, on this folder."""
    packing = packing or Packing()
    archive = Archive(lambda: [disk(folder, packing=packing, **more)], packing)
    archive.open()
    try:
        yield SessionManager(SnapshotStore(memory), archive)
    finally:
        await archive.close()
