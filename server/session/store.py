"""Kept snapshots in host memory, within a budget of bytes."""

from collections import OrderedDict
from dataclasses import dataclass

from server.engine.snapshot import Snapshot
from server.session.keys import Key


@dataclass(frozen=True, slots=True)
class _Entry:
    snapshot: Snapshot
    parent: Key | None


class SnapshotStore:
    """Snapshots by key; the ones that are cheapest to lose are evicted first.

    An entry is inner once a later one of its conversation names it as parent, else newest.
    Evicted are the inner entries, least recently used first, then the newest ones likewise:
    losing an inner entry costs a branch or an edit some tokens, losing the newest costs the
    whole history.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._newest: OrderedDict[Key, _Entry] = OrderedDict()
        self._inner: OrderedDict[Key, _Entry] = OrderedDict()
        self._nbytes = 0
        self.evicted = 0  # entries, since the start

    def __len__(self) -> int:
        return len(self._newest) + len(self._inner)

    @property
    def nbytes(self) -> int:
        return self._nbytes

    def get(self, key: Key) -> Snapshot | None:
        """The snapshot, which becomes the most recently used, or None."""
        for tier in (self._newest, self._inner):
            if key in tier:
                tier.move_to_end(key)
                return tier[key].snapshot
        return None

    def put(self, key: Key, snapshot: Snapshot, parent: Key | None) -> bool:
        """Keep a snapshot that continues `parent`; False if it is larger than the budget."""
        if snapshot.nbytes > self._budget:
            return False
        was_inner = key in self._inner
        self._drop(key)
        self._nbytes += snapshot.nbytes
        (self._inner if was_inner else self._newest)[key] = _Entry(snapshot, parent)
        if parent is not None and parent in self._newest:
            self._inner[parent] = self._newest.pop(parent)
        self._evict()
        return True

    def _evict(self) -> None:
        while self._nbytes > self._budget:
            tier = self._inner or self._newest
            self._drop(next(iter(tier)))
            self.evicted += 1

    def _drop(self, key: Key) -> None:
        entry = self._newest.pop(key, None) or self._inner.pop(key, None)
        if entry is not None:
            self._nbytes -= entry.snapshot.nbytes
