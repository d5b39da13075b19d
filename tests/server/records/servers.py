"""The documents of servers that share a real Redis, each with a disk of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from server.records import KeptRecords
from server.records.shared import DocumentStore
from server.records.synced import SyncedRecords
from server.seal import Seal
from server.valkey import Valkey

FILE = "documents.sqlite3"


@asynccontextmanager
async def sharing(
    port: int, folder: Path, *, seal: Seal | None = None, budget: int = 10**6, days: float = 1
) -> AsyncIterator[SyncedRecords]:
    """Of one life of a server."""
    folder.mkdir(exist_ok=True)
    near = KeptRecords(budget)
    near.open(folder / FILE, seal)
    store = Valkey(f"redis://127.0.0.1:{port}/0", days=days)
    records = SyncedRecords(near, DocumentStore(store, seal))
    await records.start()
    try:
        yield records
    finally:
        await records.close()
        store.close()
        near.close()


async def kept(records: SyncedRecords, id: str, document: dict) -> None:
    """Put, and told to the store if that is there."""
    assert records.put("me", "note", id, document)
    await records.written("me", "note", id)
