"""Snapshots in a Valkey or Redis, for several servers at once.

    rwkv-server:1:state:KEY                   a snapshot, with its time to live
    rwkv-server:1:entry:KEY                   what is known of it, as JSON
    rwkv-server:1:owner:OWNER                 the keys of an owner, by the time of use
    rwkv-server:1:pinned:OWNER                those that are pinned, likewise
    rwkv-server:1:pins                        the bytes of every key that is pinned
    rwkv-server:1:texts:FINGERPRINT:OWNER     lengths of texts that are no conversation
    rwkv-server:1:changes                     what was deleted or unpinned (server/valkey/stream.py)

How much it holds and what goes first is the store's own policy (`maxmemory`).
"""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from server.session.entry import Entry
from server.session.home import Contents, HomeError, News
from server.session.keys import KEY_BYTES, Key
from server.session.pins import Pins
from server.session.tensors import Parts
from server.valkey import Away, Stream, Valkey
from server.valkey.client import PREFIX

_PINS = f"{PREFIX}:pins"


class SharedHome:
    """In a store that is used for more than this."""

    tier = "shared"
    complete = True

    def __init__(self, store: Valkey) -> None:
        self._store, self._redis, self._ttl = store, store.redis, store.ttl_s
        self._changes = Stream(store, f"{PREFIX}:changes")
        self._written = self._nbytes = 0

    def put(self, batch: Sequence[tuple[Entry, Parts]]) -> None:
        for entry, parts in batch:
            with self._asking():
                self._store.pipe(self._putting(entry, data := b"".join(parts)))
            self._written += 1
            self._nbytes += len(data)

    def lacks(self, keys: Sequence[Key]) -> bool:
        del keys
        return False  # other servers write as well

    def find(self, keys: Sequence[Key]) -> tuple[Key, bytes] | None:
        # One exchange for any number of keys, as a miss is the usual case.
        with self._asking():
            there = self._store.read(("EXISTS", _name("state", key)) for key in keys)
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
            used = self._used_at(_pins(owner)) | self._used_at(_owner(owner))
            known = self._kept(list(used))
        there = [replace(entry, used=used[key]) for key, entry in known.items()]
        return sorted(there, key=lambda entry: -entry.used)

    def touch(self, keys: Iterable[Key]) -> None:
        with self._asking():
            for key in keys:
                self._used(key)

    def pin(self, key: Key, pinned: bool) -> None:
        with self._asking():
            entry = self._known(key)
            if entry is not None:
                self._store.pipe(self._pinning(entry, pinned))

    def _pinning(self, entry: Entry, pinned: bool) -> Iterator[tuple[Any, ...]]:
        key, pins = entry.key, _pins(entry.owner)
        changed = json.dumps(_fields(entry) | {"pinned": pinned})
        yield ("SET", _name("entry", key), changed, "KEEPTTL", "XX")
        yield ("ZADD", pins, time.time(), key) if pinned else ("ZREM", pins, key)
        yield ("HSET", _PINS, key, entry.nbytes) if pinned else ("HDEL", _PINS, key)
        for name in (_name("state", key), _name("entry", key)):
            keep = pinned or self._ttl is None
            yield ("PERSIST", name) if keep else ("EXPIRE", name, self._ttl)
        if not pinned:
            yield self._changes.tell("unpinned", key)

    def pins(self, keys: Sequence[Key]) -> Pins:
        """Where the store has no `maxmemory`, nothing bounds them."""
        with self._asking():
            known, sizes = self._kept(keys), self._redis.hvals(_PINS)
            budget = self._redis.info("memory").get("maxmemory", 0)
        added = sum(entry.nbytes for entry in known.values() if not entry.pinned)
        return Pins(self.tier, sum(map(int, sizes)), added, int(budget))

    def delete(self, keys: Iterable[Key]) -> None:
        keys = list(keys)
        with self._asking():
            self._store.pipe(self._deleting(keys, self._kept(keys)))

    def _deleting(
        self, keys: Sequence[Key], known: Mapping[Key, Entry]
    ) -> Iterator[tuple[Any, ...]]:
        for key in keys:
            if key in known:
                yield ("ZREM", _owner(known[key].owner), key)
                yield ("ZREM", _pins(known[key].owner), key)
            yield ("HDEL", _PINS, key)
            yield ("DEL", _name("state", key), _name("entry", key))
        yield self._changes.tell("gone", b"".join(keys))

    def news(self) -> News:
        """A key that somebody has kept again is not gone, nor unpinned if it is pinned again."""
        with self._asking(), self._changes.unread() as events:
            told = [(event.what, key) for event in events for key in _keys(event.about)]
            known = self._kept([key for _, key in told])
        gone = {key for what, key in told if what == "gone" and key not in known}
        unpinned = {key for what, key in told if what == "unpinned" and key in known}
        return News(tuple(gone), tuple(key for key in unpinned if not known[key].pinned))

    def tidy(self) -> bool:
        """The store looks after itself."""
        return False

    def contents(self) -> Contents:
        """What this server has written: others write there too."""
        return Contents(self._written, self._nbytes, 0)

    def close(self) -> None:
        """The store is closed by whoever made it."""

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
        for name in (_owner(entry.owner), *([_pins(entry.owner)] if entry.pinned else [])):
            self._redis.zadd(name, {key: time.time()})
        if self._ttl and not entry.pinned:
            self._redis.expire(_name("state", key), self._ttl)
            self._redis.expire(_name("entry", key), self._ttl)

    def _used_at(self, name: str) -> dict[Key, float]:
        found: Any = self._redis.zrange(name, 0, -1, withscores=True)
        return dict(map(tuple, found))

    def _kept(self, keys: Sequence[Key]) -> dict[Key, Entry]:
        """Those that are here, in one exchange."""
        asked = [("GET", _name("entry", key)) for key in keys]
        found = self._store.read([*asked, *(("EXISTS", _name("state", key)) for key in keys)])
        both = zip(keys, found[: len(keys)], found[len(keys) :], strict=True)
        return {key: _entry(text, 0.0) for key, text, exists in both if text and exists}

    def _known(self, key: Key) -> Entry | None:
        text: Any = self._redis.get(_name("entry", key))
        return _entry(text, 0.0) if text else None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            with self._store.asking():
                yield
        except Away as error:
            raise HomeError(str(error)) from error


def _name(kind: str, key: Key) -> str:
    return f"{PREFIX}:{kind}:{key.hex()}"


def _keys(joined: bytes) -> list[Key]:
    return [joined[at : at + KEY_BYTES] for at in range(0, len(joined), KEY_BYTES)]


def _owner(owner: str) -> str:
    return f"{PREFIX}:owner:{owner}"


def _pins(owner: str) -> str:
    return f"{PREFIX}:pinned:{owner}"


def _texts(fingerprint: str, owner: str) -> str:
    return f"{PREFIX}:texts:{fingerprint}:{owner}"


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
