"""Documents that callers leave here by name: stored answers, conversations, their items."""

from server.records.base import Document, Records
from server.records.kept import KeptRecords
from server.records.memory import MemoryRecords

__all__ = ["Document", "KeptRecords", "MemoryRecords", "Records"]
