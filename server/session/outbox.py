"""What the event loop hands to the writer thread, in order, within a budget of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from server.engine.snapshot import Snapshot
from server.session.entry import Entry
from server.session.home import Home
from server.session.keys import Key


@dataclass(frozen=True, slots=True)
class Put:
    entry: Entry
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Touch:
    """It was used now."""

    key: Key


@dataclass(frozen=True, slots=True)
class Change:
    """Anything else that is done to every home; done: is told whether all of them could."""

    do: Callable[[Home], None]
    done: Callable[[bool], object] = lambda _: None


@dataclass(frozen=True, slots=True)
class Mark:
    """Reached once everything before it is done."""

    reached: Callable[[], object]


class Stop: ...


Command = Put | Touch | Change | Mark | Stop

_GATHERED_S = 0.05  # for more of what nobody waits for


class Outbox:
    """Adding never blocks. What nobody waits for waits a moment for more, as many snapshots are
    written for little more than one; with a quarter of the budget it goes at once.

    Over the budget, snapshots that a waiting one continues go first, the oldest first, then the
    oldest of all: they are left to memory. The newest one always waits, however large it is.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._ready = threading.Condition()
        self._waiting: OrderedDict[int, Command] = OrderedDict()  # by their number, in order
        self._added = self._nbytes = 0
        self.dropped = 0  # snapshots, since the start

    def add(self, command: Command) -> None:
        with self._ready:
            self._waiting[self._added] = command
            self._added += 1
            if isinstance(command, Put):
                self._nbytes += command.snapshot.nbytes
                if self._nbytes > self._budget:
                    self._drop()
            if len(self._waiting) == 1 or self._presses(command):  # others would wake for nothing
                self._ready.notify()

    def take(self, most: int, timeout_s: float) -> list[Command]:
        """What waits, in order; nothing if nothing comes within the time. With a timeout of 0
        nothing is waited for, more of it neither."""
        with self._ready:
            if self._ready.wait_for(lambda: self._waiting, timeout_s) and timeout_s:
                self._ready.wait_for(self._pressing, _GATHERED_S)
            taken = [self._waiting.popitem(last=False)[1] for _ in range(self._count(most))]
            self._nbytes -= sum(c.snapshot.nbytes for c in taken if isinstance(c, Put))
        return taken

    def _pressing(self) -> bool:
        return any(map(self._presses, self._waiting.values()))

    def _presses(self, command: Command) -> bool:
        return not isinstance(command, Put | Touch) or self._nbytes > self._budget // 4

    def _count(self, most: int) -> int:
        return min(most, len(self._waiting))

    def _drop(self) -> None:
        puts = {n: command for n, command in self._waiting.items() if isinstance(command, Put)}
        continued = {put.entry.parent for put in puts.values()}
        puts.popitem()
        for number, put in sorted(
            puts.items(), key=lambda p: (p[1].entry.key not in continued, p[0])
        ):
            if self._nbytes <= self._budget:
                return
            del self._waiting[number]
            self._nbytes -= put.snapshot.nbytes
            self.dropped += 1
