"""Documents in a Valkey or Redis, for several servers at once.

    rwkv-server:1:document:NAME             its text, with its time to live; or GONE
    rwkv-server:1:documents:OWNER:KIND      the ids of an owner's, by the time of their coming
    rwkv-server:1:document-changes          the names of what was deleted (server/valkey/stream.py)
    rwkv-server:1:server:SERVER             one that runs

NAME and OWNER are hashes. GONE stays where a document was, for as long as any server may have a
copy: so nobody brings back what another one has deleted.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from server.records.base import Name
from server.records.sealing import SealError, Sealing
from server.seal import Seal
from server.valkey import Stream, Valkey
from server.valkey.client import PREFIX

GONE = b"gone"
_NOTHING = (None, GONE)
_DIGEST = 32
_TOGETHER = 32  # documents that are read in one exchange
_ALIVE_S = 60  # after which a server that told nothing runs no more

Onto = Callable[[bytes | None], bytes | None]


class Gone(Exception):
    """A document that somebody has deleted."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What somebody has deleted, as hashes of names."""

    digests: frozenset[bytes]

    def among(self, names: Iterable[Name]) -> list[Name]:
        return [name for name in names if _digest(name) in self.digests]


class DocumentStore:
    """Every method blocks, may be called from any thread, and raises Away; those that read a
    document raise SealError for one of another key."""

    def __init__(self, store: Valkey, seal: Seal | None = None) -> None:
        self._store, self._redis = store, store.redis
        self._sealing = Sealing(seal)
        self._changes = Stream(store, f"{PREFIX}:document-changes")
        self.ttl_s = store.ttl_s
        self._expiry: tuple[Any, ...] = ("EX", store.ttl_s) if store.ttl_s else ()

    def get(self, name: Name) -> bytes | None:
        """Using it keeps it. Raises Gone."""
        with self._store.asking():
            value, *_ = self._store.read([("GETEX", _key(name), *self._expiry), *self._kept(name)])
        return self._text(name, value)

    def change(self, name: Name, onto: Onto) -> bytes | None:
        """Puts what `onto` makes of what is there, unless that is the same; returns it.

        Where somebody else has changed it meanwhile, `onto` is asked again. Raises Gone.
        """

        def changing(pipe: Any) -> bytes | None:
            there = self._text(name, pipe.get(_key(name)))
            wanted = onto(there)
            pipe.multi()
            if wanted is not None and wanted != there:
                for command in self._putting(name, wanted):
                    pipe.execute_command(*command)
            return wanted

        with self._store.asking():
            changed: bytes | None = self._redis.transaction(
                changing, _key(name), value_from_callable=True
            )
        return changed

    def delete(self, name: Name) -> None:
        with self._store.asking():
            self._store.pipe(
                [
                    ("SET", _key(name), GONE, *self._expiry),
                    ("ZREM", _index(*name[:2]), name[2]),
                    self._changes.tell("gone", _digest(name)),
                ]
            )

    def every(self, owner: str, kind: str) -> list[tuple[Name, bytes]]:
        """Those that can be read, in the order of their coming; uses none of them."""
        found: list[tuple[Name, bytes]] = []
        with self._store.asking():
            ids = [id.decode() for id in self._redis.zrange(_index(owner, kind), 0, -1)]
            names = [(owner, kind, id) for id in ids]
            for start in range(0, len(names), _TOGETHER):
                found += self._read(names[start : start + _TOGETHER])
        return found

    def _read(self, names: Sequence[Name]) -> Iterator[tuple[Name, bytes]]:
        """What has left the store leaves its index."""
        values = dict(zip(names, self._redis.mget(list(map(_key, names))), strict=True))
        if lost := [name for name, value in values.items() if value in _NOTHING]:
            self._redis.transaction(partial(_leave, lost), *map(_key, lost))
        for name, value in values.items():
            if value not in _NOTHING:
                with suppress(SealError):
                    yield name, self._sealing.open(name, value)

    def deleted(self) -> Deleted:
        """By others since this was last asked; at first, ever."""
        with self._store.asking(), self._changes.unread() as told:
            return Deleted(frozenset(one.about for one in told))

    def lacks(self, names: Sequence[Name]) -> list[Name]:
        """Those that it has nothing of."""
        with self._store.asking():
            found = self._store.read(("EXISTS", _key(name)) for name in names)
        return [name for name, there in zip(names, found, strict=True) if not there]

    def beat(self, server: str) -> None:
        """It runs now."""
        key = f"{PREFIX}:server:{server}"
        with self._store.asking():
            if not self._redis.expire(key, _ALIVE_S):  # which a full store can do
                self._redis.set(key, 1, ex=_ALIVE_S)

    def rest(self, server: str) -> None:
        """It runs no more."""
        with self._store.asking():
            self._redis.delete(f"{PREFIX}:server:{server}")

    def runs(self, server: str) -> bool:
        with self._store.asking():
            return bool(self._redis.exists(f"{PREFIX}:server:{server}"))

    def _putting(self, name: Name, text: bytes) -> Iterator[tuple[Any, ...]]:
        yield ("SET", _key(name), self._sealing.seal(name, text), *self._expiry)
        yield ("ZADD", _index(*name[:2]), "NX", time.time(), name[2])
        yield from self._kept(name)

    def _kept(self, name: Name) -> Iterator[tuple[Any, ...]]:
        """An index lives as long as what is in it."""
        if self._expiry:
            yield ("EXPIRE", _index(*name[:2]), self._store.ttl_s)

    def _text(self, name: Name, value: bytes | None) -> bytes | None:
        if value == GONE:
            raise Gone
        return None if value is None else self._sealing.open(name, value)


def _leave(names: Sequence[Name], pipe: Any) -> None:
    lost = [name[2] for name in names if pipe.get(_key(name)) in _NOTHING]
    pipe.multi()
    if lost:
        pipe.zrem(_index(*names[0][:2]), *lost)


def _key(name: Name) -> str:
    return f"{PREFIX}:document:{_digest(name).hex()}"


def _index(owner: str, kind: str) -> str:
    return f"{PREFIX}:documents:{_digest((owner,)).hex()}:{kind}"


def _digest(parts: tuple[str, ...]) -> bytes:
    text = json.dumps(parts).encode()
    return hashlib.blake2b(text, digest_size=_DIGEST, person=b"document").digest()
