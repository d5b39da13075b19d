"""What encrypts at rest, for those who keep things and know nothing of keys."""

from typing import Protocol


class Seal(Protocol):
    """Encrypts bytes for their name: under another name they do not open."""

    def seal(self, key: bytes, data: bytes) -> bytes: ...

    def open(self, key: bytes, data: bytes) -> bytes:
        """Raises ValueError."""
        ...
