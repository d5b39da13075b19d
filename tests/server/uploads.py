"""Files that are put into a store as an upload puts them there."""

from typing import Any

from server.files import FileStore, StoredFile


def add(store: FileStore, data: bytes = b"data", owner: str = "ann", **fields: Any) -> StoredFile:
    incoming = store.receive(owner)
    try:
        incoming.write(data)
        return incoming.keep(**{"filename": "in.jsonl", "purpose": "batch", **fields})
    finally:
        incoming.discard()
