"""Snapshots in a Valkey or Redis, for several servers at once.

    rwkv-server:1:state:KEY                   a snapshot, with its time to live
    rwkv-server:1:entry:KEY                   what is known of it, as JSON
    rwkv-server:1:owner:OWNER                 the keys of an owner, by the time of use
    rwkv-server:1:texts:FINGERPRINT:OWNER     lengths of texts that are no conversation

How much it holds and what goes first is the store's own policy (`maxmemory`).
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from server.session.entry import Entry
from server.session.home import Contents, HomeError
from server.session.keys import Key

_PREFIX = "rwkv-server:1"
_TIMEOUT_S = 2.0
_RETRY_S = 2.0  # after which a store that was away is asked again
_DAY_S = 86400


class SharedHome:
    """days: how long a snapshot outlives its last use; 0: for ever.

    Connects when it is first asked, and again whenever a connection was lost. Raises HomeError
    without the package redis, or for an address that is none.
    """

    tier = "shared"
    complete = True

    def __init__(self, url: str, *, days: float = 0.0) -> None:
        try:
            import redis
        except ImportError as error:
            raise HomeError(
                "the shared store needs the package redis: pip install 'rwkv-server[redis]'"
            ) from error
        try:
            self._redis = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
            )
        except ValueError as error:
            raise HomeError("sessions.store_url is no address of a Valkey or Redis") from error
        self._failures: tuple[type[Exception], ...] = (redis.RedisError, OSError)
        self._ttl = int(days * _DAY_S) or None
        self._away_until = 0.0
        self._written = self._nbytes = 0

    def put(self, batch: Sequence[tuple[Entry, bytes]]) -> None:
        for entry, data in batch:
            with self._asking():
                self._pipe(self._putting(entry, data))
            self._written += 1
            self._nbytes += len(data)

    def find(self, keys: Sequence[Key]) -> tuple[Key, bytes] | None:
        # One exchange for any number of keys, as a miss is the usual case.
        with self._asking():
            there = self._pipe(("EXISTS", _name("state", key)) for key in keys)
            for key, exists in zip(keys, there, strict=True):
                data = self._redis.get(_name("state", key)) if exists else None
                if isinstance(data, bytes):
                    return key, data
        return None

    def lengths(self, fingerprint: str, owner: str) -> list[int]:
        with self._asking():
            found: Any = self._redis.smembers(_texts(fingerprint, owner))
        return sorted(map(int, found))

    def entries(self, owner: str) -> list[Entry]:
        with self._asking():
            keys: Any = self._redis.zrevrange(_owner(owner), 0, -1, withscores=True)
            asked = [("GET", _name("entry", key)) for key, _ in keys]
            kept = self._pipe([*asked, *(("EXISTS", _name("state", key)) for key, _ in keys)])
        found = zip(keys, kept[: len(keys)], kept[len(keys) :], strict=True)
        return [_entry(text, used) for (_, used), text, exists in found if text and exists]

    def touch(self, keys: Iterable[Key]) -> None:
        with self._asking():
            for key in keys:
                self._used(key)

    def pin(self, key: Key, pinned: bool) -> None:
        with self._asking():
            entry = self._known(key)
            if entry is None:
                return
            changed = json.dumps(_fields(entry) | {"pinned": pinned})
            self._redis.set(_name("entry", key), changed, keepttl=True)
            for name in (_name("state", key), _name("entry", key)):
                if pinned or self._ttl is None:
                    self._redis.persist(name)
                else:
                    self._redis.expire(name, self._ttl)

    def delete(self, keys: Iterable[Key]) -> None:
        with self._asking():
            for key in keys:
                if (entry := self._known(key)) is not None:
                    self._redis.zrem(_owner(entry.owner), key)
                self._redis.delete(_name("state", key), _name("entry", key))

    def tidy(self) -> bool:
        """The store looks after itself."""
        return False

    def contents(self) -> Contents:
        """What this server has written: others write there too."""
        return Contents(self._written, self._nbytes, 0)

    def close(self) -> None:
        self._redis.close()

    def _putting(self, entry: Entry, data: bytes) -> Iterator[tuple[Any, ...]]:
        known = self._known(entry.key)
        pinned = entry.pinned or (known is not None and known.pinned)
        ttl = ("EX", self._ttl) if self._ttl and not pinned else ()
        text = json.dumps(_fields(entry) | {"nbytes": len(data), "pinned": pinned})
        yield ("SET", _name("state", entry.key), data, *ttl)
        yield ("SET", _name("entry", entry.key), text, *ttl)
        yield ("ZADD", _owner(entry.owner), entry.used, entry.key)
        if self._ttl:
            yield ("ZREMRANGEBYSCORE", _owner(entry.owner), "-inf", time.time() - 2 * self._ttl)
        if entry.plain:
            yield ("SADD", _texts(entry.fingerprint, entry.owner), entry.tokens)
            if self._ttl:
                yield ("EXPIRE", _texts(entry.fingerprint, entry.owner), self._ttl)

    def _used(self, key: Key) -> None:
        entry = self._known(key)
        if entry is None:
            return
        self._redis.zadd(_owner(entry.owner), {key: time.time()})
        if self._ttl and not entry.pinned:
            self._redis.expire(_name("state", key), self._ttl)
            self._redis.expire(_name("entry", key), self._ttl)

    def _known(self, key: Key) -> Entry | None:
        text: Any = self._redis.get(_name("entry", key))
        return _entry(text, 0.0) if text else None

    def _pipe(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """All of them at once, and all or none."""
        pipe = self._redis.pipeline(transaction=True)
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return list(pipe.execute())

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """A store that does not answer is left alone for a while, so that nobody waits for it."""
        if time.monotonic() < self._away_until:
            raise HomeError("is away")
        try:
            yield
        except self._failures as error:
            self._away_until = time.monotonic() + _RETRY_S
            raise HomeError(f"does not answer: {type(error).__name__}") from error


def _name(kind: str, key: Key) -> str:
    return f"{_PREFIX}:{kind}:{key.hex()}"


def _owner(owner: str) -> str:
    return f"{_PREFIX}:owner:{owner}"


def _texts(fingerprint: str, owner: str) -> str:
    return f"{_PREFIX}:texts:{fingerprint}:{owner}"


def _fields(entry: Entry) -> dict[str, Any]:
    fields = asdict(entry)
    parent = entry.parent.hex() if entry.parent else None
    return fields | {"key": entry.key.hex(), "parent": parent, "path": entry.path.hex()}


def _entry(text: bytes, used: float) -> Entry:
    fields = json.loads(text)
    parent = fields["parent"]
    fields |= {"key": bytes.fromhex(fields["key"]), "tier": "shared", "used": used}
    fields["path"] = bytes.fromhex(fields.get("path", ""))
    return Entry(**fields | {"parent": bytes.fromhex(parent) if parent else None})
