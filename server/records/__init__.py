"""Documents that callers leave here by name: stored answers, conversations, their items."""

from server.records.base import Document, Records, TooLarge, packed
from server.records.edit import Edit
from server.records.kept import KeptRecords
from server.records.memory import MemoryRecords

__all__ = ["Document", "Edit", "KeptRecords", "MemoryRecords", "Records", "TooLarge", "packed"]
