"""A Valkey or Redis that several servers share: how it is asked, and what they tell one another."""

from server.valkey.client import Away, Full, Valkey, ValkeyError
from server.valkey.stream import Stream, Told

__all__ = ["Away", "Full", "Stream", "Told", "Valkey", "ValkeyError"]
