"""Documents as they lie outside of memory: encrypted where there is a key, each for its name."""

import json

from server.records.base import Name
from server.seal import Seal


class SealError(Exception):
    """Documents that were written under another key, or under none."""


class Sealing:
    """what: tells apart what lies under one name."""

    def __init__(self, seal: Seal | None) -> None:
        self._seal = seal

    def seal(self, name: Name, text: bytes, what: str = "") -> bytes:
        return text if self._seal is None else self._seal.seal(_bound(name, what), text)

    def open(self, name: Name, text: bytes, what: str = "") -> bytes:
        """Raises SealError."""
        try:
            if self._seal is not None:
                return self._seal.open(_bound(name, what), text)
        except ValueError as error:
            raise SealError(f"the encryption key does not fit them: {error}") from error
        if not text.startswith(b"{"):
            raise SealError("they are encrypted, and no key is set")
        return text


def _bound(name: Name, what: str) -> bytes:
    return json.dumps([*name, what] if what else name).encode()
