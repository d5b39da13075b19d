"""What servers have deleted or unpinned in a shared store, in a stream that the others read.

They may hold copies nearer, in memory and on disk. An event names keys alone; what follows from it
depends on what the store has when it is read, so that it can be read late, and again.
"""

import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from server.session.keys import KEY_BYTES, Key

What = Literal["gone", "unpinned"]

_EVENTS = 100_000  # about as many are kept where no age bounds them
_READ = 1000  # at a time


@dataclass(frozen=True, slots=True)
class Change:
    what: str
    key: Key


class Changes:
    """seconds: after which everyone has forgotten what was changed, and so does the stream."""

    def __init__(self, redis: Any, name: str, seconds: int | None) -> None:
        self._redis, self._name, self._seconds = redis, name, seconds
        self._me = secrets.token_hex(8)
        self._read = "-"
        self._lock = threading.Lock()

    def tell(self, what: What, keys: Iterable[Key]) -> tuple[Any, ...]:
        """The command that adds an event."""
        limit: tuple[Any, ...] = ("MAXLEN", "~", _EVENTS)
        if self._seconds:
            limit = ("MINID", "~", int((time.time() - self._seconds) * 1000))
        fields = ("by", self._me, "what", what, "keys", b"".join(keys))
        return ("XADD", self._name, *limit, "*", *fields)

    def since(self) -> list[Change]:
        """What others have told since the last call; all there is at the first."""
        with self._lock:
            return list(self._unread())

    def _unread(self) -> Iterator[Change]:
        while events := self._redis.xrange(self._name, min=self._read, count=_READ):
            for id, fields in events:
                self._read = f"({id.decode()}"
                if fields[b"by"].decode() != self._me:
                    yield from _changes(fields[b"what"].decode(), fields[b"keys"])


def _changes(what: str, keys: bytes) -> Iterator[Change]:
    for at in range(0, len(keys), KEY_BYTES):
        yield Change(what, keys[at : at + KEY_BYTES])
