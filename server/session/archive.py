"""Snapshots that outlive this process: one writer thread, and homes it writes to.

The event loop hands entries down an outbox and goes on; whoever has to know that they are durable
awaits written(). Reads run in threads of their own. A home that fails is warned of once, counted,
and tried again with the next write: meanwhile memory has to do. Nobody waits for a home that
hangs longer than patience_s, and while it still hangs, nobody waits for it at all.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import TypeVar, cast

from server.engine.snapshot import Snapshot
from server.session.entry import Entry
from server.session.home import Home, HomeError, News
from server.session.keys import Key
from server.session.outbox import Change, Command, Mark, Outbox, Put, Stop, Touch
from server.session.packing import Packing
from server.session.patience import Patience, promise, tell
from server.session.pins import Pins
from server.session.place import Counts, Place
from server.session.tensors import length
from server.threads import DaemonPool

log = logging.getLogger(__name__)

_TIDY_S, _BUSY_S = 1.0, 0.005  # the latter lets others have the interpreter
_POLL_S = 0.02
_BATCH = 64
_READERS = 4

T = TypeVar("T")


class Archive:
    """All homes, the nearest first, between open() and close(); at other times it holds nothing.

    homes: opens them. outbox_bytes: of snapshots that wait to be written. hear: is told, in the
    writer thread, what other servers have deleted or unpinned, once it is done here too.
    """

    def __init__(
        self,
        homes: Callable[[], Sequence[Home]],
        packing: Packing,
        *,
        outbox_bytes: int = 2**29,
        patience_s: float = 5.0,
    ) -> None:
        self._homes, self._packing = homes, packing
        self._outbox_bytes, self._patience_s = outbox_bytes, patience_s
        self._places: list[Place] = []
        self._outbox = Outbox(0)
        self._writes, self._reads = Patience("write"), Patience("read")
        self.hear: Callable[[News], object] = lambda news: None

    @property
    def places(self) -> Sequence[tuple[Home, Counts]]:
        return [(place.home, place.counts) for place in self._places]

    @property
    def dropped(self) -> int:
        """Snapshots that were not written, as more of them waited than may."""
        return self._outbox.dropped

    def open(self) -> None:
        """Blocks while the homes are opened; they are looked through later."""
        self._places = [Place(home) for home in self._homes()]
        if self._places:
            self._outbox = Outbox(self._outbox_bytes)
            self._readers = DaemonPool(_READERS, "archive-read")
            self._thread = threading.Thread(target=self._run, name="archive", daemon=True)
            self._thread.start()

    async def close(self) -> None:
        """Write what is left, and give the homes up; one that hangs is left to the end of the
        process, which does not wait for it."""
        if not self._places:
            return
        self._add(Stop())
        await asyncio.to_thread(self._thread.join, self._patience_s * 2)
        if self._thread.is_alive():
            log.warning("conversations that wait to be written are lost: their archive hangs")
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._places = []

    def put(self, entry: Entry, snapshot: Snapshot) -> None:
        """Does not block."""
        self._add(Put(entry, snapshot))

    def touch(self, key: Key) -> None:
        self._add(Touch(key))

    def pin(self, key: Key, pinned: bool) -> None:
        self._add(Change(lambda home: home.pin(key, pinned)))

    async def delete(self, keys: Sequence[Key]) -> bool:
        """False where a home could not, or takes too long."""
        if not self._places:
            return True
        done, resolve = promise(bool)
        self._add(Change(lambda home: home.delete(keys), resolve))
        return await self._writes.wait(done, self._patience_s) is True

    async def pins(self, keys: Sequence[Key]) -> list[Pins]:
        """Of every home that can be asked."""
        return await self._asked(lambda home: home.pins(keys))

    async def written(self) -> None:
        """Everything handed over so far is done, as well as it can be."""
        if not self._places:
            return
        done, resolve = promise(bool)
        self._add(Mark(partial(resolve, True)))
        await self._writes.wait(done, self._patience_s)

    async def find(self, keys: Sequence[Key]) -> tuple[Entry, Snapshot] | None:
        """The first of `keys` that can be read, wherever it is.

        What all homes are known to lack is not looked for, as that would take a way to another
        thread, and most conversations are new.
        """
        if all(place.home.lacks(keys) for place in self._places):
            return None
        return await self._reading(partial(self._find, keys))

    async def lengths(self, fingerprint: str, owner: str) -> list[int]:
        """The lengths of an owner's kept texts that are no conversations, rising."""
        found = await self._asked(lambda home: home.lengths(fingerprint, owner))
        return sorted({length for lengths in found for length in lengths})

    async def caught_up(self) -> None:
        """What other servers have done so far is done here as well."""
        if any(place.watched for place in self._places):
            await self.written()

    async def entries(self, owner: str, *, every_home: bool = False) -> list[Entry]:
        """An owner's of all homes; one that is in several is listed for each.

        every_home: raises HomeError where one cannot be asked, instead of doing without it.
        """
        found = await self._asked(lambda home: home.entries(owner))
        if every_home and len(found) < len(self._places):
            raise HomeError("an archive does not answer")
        return [entry for entries in found for entry in entries]

    async def complete(self) -> bool:
        """entries() knows of everything; waits a while until it does."""
        end = time.monotonic() + self._patience_s
        while not all(place.home.complete for place in self._places):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _add(self, command: Command) -> None:
        if self._places:
            self._outbox.add(command)

    async def _asked(self, ask: Callable[[Home], T]) -> list[T]:
        def everywhere() -> list[T]:
            answers = (place.ask(ask) for place in self._places)
            return [answer for answer in answers if answer is not None]

        return await self._reading(everywhere) or []

    async def _reading(self, read: Callable[[], T]) -> T | None:
        """What `read` finds; None if that takes too long."""
        if not self._places or self._reads.hangs:
            return None
        loop = asyncio.get_running_loop()
        return await self._reads.wait(loop.run_in_executor(self._readers, read), self._patience_s)

    def _find(self, keys: Sequence[Key]) -> tuple[Entry, Snapshot] | None:
        """Longest first in every home; the nearest home wins a draw."""
        best: tuple[Entry, Snapshot] | None = None
        for place in self._places:
            found = self._first(place, keys)
            if found is not None:
                best, keys = found, keys[: keys.index(found[0].key)]
        return best

    def _first(self, place: Place, keys: Sequence[Key]) -> tuple[Entry, Snapshot] | None:
        while keys:
            found = place.ask(lambda home, left=keys: home.find(left))  # type: ignore[misc]
            if found is None:
                return None
            key, data = found
            if (unpacked := self._packing.unpack(key, data)) is not None:
                place.counts.reads += 1
                return unpacked
            place.counts.errors += 1
            keys = keys[keys.index(key) + 1 :]
        return None

    def _run(self) -> None:
        """The writer thread."""
        stopped, pause_s = False, 0.0
        while not stopped:
            batch = self._outbox.take(_BATCH, pause_s)
            self._follow()
            for whole, run in groupby(batch, lambda command: not isinstance(command, Change)):
                if whole:
                    stopped |= self._together(list(run))
                else:
                    for command in run:
                        change = cast(Change, command)
                        tell(change.done, self._change(change.do))
            pause_s = _BUSY_S if self._tidy() else _TIDY_S
        self._change(lambda home: home.close())

    def _follow(self) -> None:
        """Do here what other servers have done."""
        for place in self._places:
            if news := place.news():
                for other in self._places:
                    other.follow(news)
                self.hear(news)

    def _together(self, run: Sequence[Command]) -> bool:
        """Writes what was put at once, so that it is synced at once; True if it is to stop."""
        if puts := [command for command in run if isinstance(command, Put)]:
            self._write(puts)
        if touched := [command.key for command in run if isinstance(command, Touch)]:
            self._change(lambda home: home.touch(touched))
        for command in run:
            if isinstance(command, Mark):
                tell(command.reached)
        return any(isinstance(command, Stop) for command in run)

    def _write(self, puts: Sequence[Put]) -> None:
        try:
            batch = [(put.entry, self._packing.pack(put.entry, put.snapshot)) for put in puts]
        except Exception:
            log.exception("a snapshot could not be packed")
            return
        written = [(replace(entry, nbytes=length(parts)), parts) for entry, parts in batch]
        for place in self._places:
            if place.do(lambda home: home.put(written)):
                place.wrote(len(written))

    def _tidy(self) -> bool:
        """True if there is more to do at once."""
        busy = [place.ask(lambda home: home.tidy()) for place in self._places]
        return any(busy)

    def _change(self, do: Callable[[Home], None]) -> bool:
        """True if every home could."""
        done = [place.do(do) for place in self._places]
        return all(done)
