"""Snapshots that outlive this process: one writer thread, and homes it writes to.

The event loop hands entries down a queue and goes on; whoever has to know that they are durable
awaits written(). Reads run in threads of their own. A home that fails is warned of once, counted,
and tried again with the next write: meanwhile memory has to do.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from server.engine.snapshot import Snapshot
from server.session import codec
from server.session.cipher import Cipher, CipherError, is_sealed
from server.session.codec import ArchiveDtype, CodecError
from server.session.entry import Entry
from server.session.home import Home, HomeError
from server.session.keys import Key

log = logging.getLogger(__name__)

_TIDY_S = 1.0
_BATCH = 64

T = TypeVar("T")


@dataclass(slots=True)
class Counts:
    """Of one tier since the start."""

    writes: int = 0
    reads: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class _Put:
    entry: Entry
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class _Change:
    """Anything else that is done to every home."""

    do: Callable[[Home], None]


@dataclass(frozen=True, slots=True)
class _Mark:
    """Reached once everything before it is done."""

    reached: Callable[[], object]


class _Stop: ...


_Command = _Put | _Change | _Mark | _Stop


@dataclass(slots=True)
class _Place:
    """A home and how it is doing."""

    home: Home
    counts: Counts = field(default_factory=Counts)
    failing: bool = False


class Packing:
    """Snapshots to bytes and back: halved where that is wanted, encrypted where there is a key."""

    def __init__(self, dtype: ArchiveDtype = "float32", cipher: Cipher | None = None) -> None:
        self._dtype, self._cipher = dtype, cipher
        self._warned = False

    def pack(self, entry: Entry, snapshot: Snapshot) -> bytes:
        data = codec.encode(entry, snapshot, self._dtype)
        return self._cipher.seal(entry.key, data) if self._cipher else data

    def unpack(self, key: Key, data: bytes) -> tuple[Entry, Snapshot] | None:
        """None for what cannot be read, or was kept under another key."""
        try:
            entry, snapshot = codec.decode(self._opened(key, data))
        except (CodecError, CipherError) as error:
            self._warn(error)
            return None
        return (entry, snapshot) if entry.key == key else None

    def describe(self, key: Key, data: bytes) -> Entry:
        """Raises ValueError."""
        return codec.describe(self._opened(key, data))

    def _opened(self, key: Key, data: bytes) -> bytes:
        if self._cipher:
            return self._cipher.open(key, data)
        if is_sealed(data):
            raise CipherError("it is encrypted, and no key is set")
        return data

    def _warn(self, error: Exception) -> None:
        level = logging.DEBUG if self._warned else logging.WARNING
        log.log(level, "a kept conversation cannot be read, and is read again: %s", error)
        self._warned = True


class Archive:
    """All homes, the nearest first."""

    def __init__(self, homes: Sequence[Home], packing: Packing) -> None:
        self._places = [_Place(home) for home in homes]
        self._packing = packing
        self._commands: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
        self._thread.start()
        self._closed = False

    @property
    def places(self) -> Sequence[tuple[Home, Counts]]:
        return [(place.home, place.counts) for place in self._places]

    def put(self, entry: Entry, snapshot: Snapshot) -> None:
        """Does not block."""
        self._commands.put(_Put(entry, snapshot))

    def touch(self, key: Key) -> None:
        self._commands.put(_Change(lambda home: home.touch([key])))

    def pin(self, key: Key, pinned: bool) -> None:
        self._commands.put(_Change(lambda home: home.pin(key, pinned)))

    def delete(self, keys: Sequence[Key]) -> None:
        self._commands.put(_Change(lambda home: home.delete(keys)))

    async def written(self) -> None:
        """Everything handed over so far is done, as well as it can be."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._commands.put(_Mark(partial(loop.call_soon_threadsafe, _resolve, done)))
        await done

    async def find(self, keys: Sequence[Key]) -> tuple[Entry, Snapshot] | None:
        """The first of `keys` that can be read, wherever it is."""
        return await asyncio.to_thread(self._find, keys) if keys else None

    async def lengths(self, fingerprint: str, owner: str) -> list[int]:
        """The lengths of an owner's kept texts that are no conversations, rising."""
        found = await self._asked(lambda home: home.lengths(fingerprint, owner))
        return sorted({length for lengths in found for length in lengths})

    async def entries(self, owner: str) -> list[Entry]:
        """An owner's of all homes; one that is in several is listed for each."""
        return [e for found in await self._asked(lambda home: home.entries(owner)) for e in found]

    async def close(self) -> None:
        """Write what is left, and give the homes up."""
        if self._closed:
            return
        self._closed = True
        self._commands.put(_Stop())
        await asyncio.to_thread(self._thread.join)

    async def _asked(self, ask: Callable[[Home], T]) -> list[T]:
        def everywhere() -> list[T]:
            answers = (self._tried(place, ask) for place in self._places)
            return [answer for answer in answers if answer is not None]

        return await asyncio.to_thread(everywhere)

    def _find(self, keys: Sequence[Key]) -> tuple[Entry, Snapshot] | None:
        """Longest first in every home; the nearest home wins a draw."""
        best: tuple[Entry, Snapshot] | None = None
        for place in self._places:
            found = self._first(place, keys)
            if found is not None:
                best, keys = found, keys[: keys.index(found[0].key)]
        return best

    def _first(self, place: _Place, keys: Sequence[Key]) -> tuple[Entry, Snapshot] | None:
        while keys:
            found = self._tried(place, lambda home, left=keys: home.find(left))  # type: ignore[misc]
            if found is None:
                return None
            key, data = found
            if (unpacked := self._packing.unpack(key, data)) is not None:
                place.counts.reads += 1
                return unpacked
            place.counts.errors += 1
            keys = keys[keys.index(key) + 1 :]
        return None

    def _tried(self, place: _Place, ask: Callable[[Home], T]) -> T | None:
        try:
            return ask(place.home)
        except HomeError as error:
            place.counts.errors += 1
            self._fails(place, error)
            return None

    def _run(self) -> None:
        """The writer thread."""
        stopped = False
        while not stopped:
            batch = self._taken()
            puts = [command for command in batch if isinstance(command, _Put)]
            if puts and all(isinstance(command, _Put | _Mark) for command in batch):
                self._write(puts)  # together, so that they are synced together
                batch = [command for command in batch if not isinstance(command, _Put)]
            for command in batch:
                stopped |= isinstance(command, _Stop)
                self._do(command)
            self._change(lambda home: home.tidy())
        self._change(lambda home: home.close())

    def _taken(self) -> list[_Command]:
        batch: list[_Command] = []
        try:
            batch.append(self._commands.get(timeout=_TIDY_S))
            while len(batch) < _BATCH:
                batch.append(self._commands.get_nowait())
        except queue.Empty:
            pass
        return batch

    def _do(self, command: _Command) -> None:
        match command:
            case _Put():
                self._write([command])
            case _Change(do):
                self._change(do)
            case _Mark(reached):
                try:
                    reached()
                except RuntimeError:  # the loop that waited is closed
                    log.debug("nobody waits for what was written")
            case _Stop():
                pass

    def _write(self, puts: Sequence[_Put]) -> None:
        try:
            batch = [(put.entry, self._packing.pack(put.entry, put.snapshot)) for put in puts]
        except Exception:
            log.exception("a snapshot could not be packed")
            return
        for place in self._places:
            try:
                place.home.put([(replace(e, nbytes=len(data)), data) for e, data in batch])
            except HomeError as error:
                place.counts.errors += 1
                self._fails(place, error)
            except Exception:
                place.counts.errors += 1
                log.exception("the %s archive broke", place.home.tier)
            else:
                place.counts.writes += len(batch)
                self._works(place)

    def _change(self, do: Callable[[Home], None]) -> None:
        for place in self._places:
            try:
                do(place.home)
            except HomeError as error:
                place.counts.errors += 1
                self._fails(place, error)
            except Exception:
                place.counts.errors += 1
                log.exception("the %s archive broke", place.home.tier)

    def _fails(self, place: _Place, error: HomeError) -> None:
        if not place.failing:
            place.failing = True
            log.warning(
                "conversations are kept without the %s archive for now: it %s",
                *(place.home.tier, error),
            )

    def _works(self, place: _Place) -> None:
        if place.failing:
            place.failing = False
            log.info("the %s archive works again", place.home.tier)


def _resolve(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
