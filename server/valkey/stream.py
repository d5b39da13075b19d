"""What servers tell one another in a shared store: a stream that each reads from its beginning.

Who was away reads it later, so what follows from an event depends on what the store has when it is
read: it can be read late, and again.
"""

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from server.valkey.client import Valkey

_EVENTS = 100_000  # about as many are kept where no age bounds them
_READ = 1000  # at a time


@dataclass(frozen=True, slots=True)
class Told:
    what: str
    about: bytes


class Stream:
    """As old as what is kept in the store: after that everyone has forgotten what it says."""

    def __init__(self, store: Valkey, name: str) -> None:
        self._store, self._name = store, name
        self._me = secrets.token_hex(8)
        self._read = "-"
        self._lock = threading.Lock()

    def tell(self, what: str, about: bytes) -> tuple[Any, ...]:
        """The command that adds an event."""
        limit: tuple[Any, ...] = ("MAXLEN", "~", _EVENTS)
        if self._store.ttl_s:
            limit = ("MINID", "~", int((time.time() - self._store.ttl_s) * 1000))
        return ("XADD", self._name, *limit, "*", "by", self._me, "what", what, "keys", about)

    @contextmanager
    def unread(self) -> Iterator[list[Told]]:
        """What others have told, all there is at first; it is read once the block has ended, and
        is still to be read if that breaks."""
        with self._lock:
            told: list[Told] = []
            last = self._read
            while events := self._store.redis.xrange(self._name, min=last, count=_READ):
                told += [
                    Told(fields[b"what"].decode(), fields[b"keys"])
                    for _, fields in events
                    if fields[b"by"].decode() != self._me
                ]
                last = f"({events[-1][0].decode()}"
            yield told
            self._read = last
