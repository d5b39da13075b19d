"""Kept snapshots in host memory, within a budget of bytes."""

import time
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace

from server.engine.snapshot import Snapshot
from server.session.entry import Entry
from server.session.keys import Key
from server.session.ledger import Ledger
from server.session.pins import Pins


@dataclass(frozen=True, slots=True)
class _Kept:
    snapshot: Snapshot
    entry: Entry


class SnapshotStore:
    """Snapshots by key; the ones that are cheapest to lose are evicted first.

    An entry is inner once a later one of its conversation names it as parent, else newest.
    Evicted are the inner entries, least recently used first, then the newest ones likewise:
    losing an inner entry costs a branch or an edit some tokens, losing the newest costs the
    whole history. A pinned entry is not evicted.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget = budget_bytes
        self._newest: OrderedDict[Key, _Kept] = OrderedDict()
        self._inner: OrderedDict[Key, _Kept] = OrderedDict()
        self._pinned: OrderedDict[Key, _Kept] = OrderedDict()
        self._was_inner: set[Key] = set()  # of those that are pinned
        self._shared = Ledger()
        self._nbytes = 0  # without what several may share
        self.evicted = 0  # entries, since the start

    def __len__(self) -> int:
        return sum(map(len, self._tiers))

    @property
    def nbytes(self) -> int:
        """With the ids and lines of kept snapshots, whoever else has them too."""
        return self._nbytes + self._shared.nbytes

    @property
    def _tiers(self) -> tuple[OrderedDict[Key, _Kept], ...]:
        return self._newest, self._inner, self._pinned

    def get(self, key: Key) -> Snapshot | None:
        """The snapshot, which becomes the most recently used, or None."""
        for tier in self._tiers:
            if key in tier:
                tier.move_to_end(key)
                kept = tier[key] = replace(
                    tier[key], entry=replace(tier[key].entry, used=time.time())
                )
                return kept.snapshot
        return None

    def entry(self, key: Key) -> Entry | None:
        """What is known of a kept snapshot; looking does not use it."""
        return next((tier[key].entry for tier in self._tiers if key in tier), None)

    def entries(self, owner: str) -> list[Entry]:
        """An owner's, in no order; reads all of them."""
        every = (kept.entry for tier in self._tiers for kept in tier.values())
        return [entry for entry in every if entry.owner == owner]

    @property
    def pinned_nbytes(self) -> int:
        """Of all owners' pinned snapshots, as if no ids were shared."""
        return sum(kept.entry.nbytes for kept in self._pinned.values())

    def pins(self, keys: Iterable[Key]) -> Pins:
        """What is pinned here, and what these would add, if they are here and not pinned yet."""
        here = (tier.get(key) for key in keys for tier in (self._newest, self._inner))
        added = sum(kept.entry.nbytes for kept in here if kept is not None)
        return Pins("memory", self.pinned_nbytes, added, self._budget)

    def put(self, entry: Entry, snapshot: Snapshot) -> bool:
        """Keep a snapshot; False if there was no room for it, or none but an inner one's."""
        pinned = entry.key in self._pinned or entry.pinned
        if snapshot.nbytes > self._budget:
            return False
        was_inner = entry.key in self._inner or entry.key in self._was_inner
        self._drop(entry.key)
        self._add(replace(entry, pinned=pinned), snapshot, was_inner)
        if entry.parent is not None and entry.parent in self._newest:
            self._inner[entry.parent] = self._newest.pop(entry.parent)
        elif entry.parent is not None and entry.parent in self._pinned:
            self._was_inner.add(entry.parent)
        self._evict()
        return self.entry(entry.key) is not None

    def pin(self, key: Key, pinned: bool) -> bool:
        """False for one that is not here."""
        kept = next((tier[key] for tier in self._tiers if key in tier), None)
        if kept is None:
            return False
        inner = key in self._inner or key in self._was_inner
        self._drop(key)
        self._add(replace(kept.entry, pinned=pinned), kept.snapshot, inner)
        self._evict()
        return True

    def delete(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._drop(key)

    def beyond(self, keys: Iterable[Key]) -> list[Key]:
        """What is here of snapshots that continue these, whether or not these are; reads all."""
        further: defaultdict[Key | None, list[Key]] = defaultdict(list)
        for tier in self._tiers:
            for key, kept in tier.items():
                further[kept.entry.parent].append(key)
        left, found = list(keys), list[Key]()
        while left:
            next_ones = further.pop(left.pop(), [])
            found += next_ones
            left += next_ones
        return found

    def _add(self, entry: Entry, snapshot: Snapshot, inner: bool) -> None:
        self._nbytes += _own(snapshot)
        self._shared.add(snapshot.fed)
        self._shared.add(snapshot.told)
        if entry.pinned and inner:
            self._was_inner.add(entry.key)
        tier = self._pinned if entry.pinned else self._inner if inner else self._newest
        tier[entry.key] = _Kept(
            snapshot, replace(entry, nbytes=snapshot.nbytes, used=time.time(), tier="memory")
        )

    def _evict(self) -> None:
        while self.nbytes > self._budget and (tier := self._inner or self._newest):
            self._drop(next(iter(tier)))
            self.evicted += 1
        while self.nbytes > self._budget and self._pinned:  # pins alone do not fit
            self._drop(next(reversed(self._pinned)))
            self.evicted += 1

    def _drop(self, key: Key) -> None:
        for tier in self._tiers:
            if (kept := tier.pop(key, None)) is not None:
                self._nbytes -= _own(kept.snapshot)
                self._shared.remove(kept.snapshot.fed)
                self._shared.remove(kept.snapshot.told)
        self._was_inner.discard(key)


def _own(snapshot: Snapshot) -> int:
    return snapshot.state.nbytes + snapshot.logits.nbytes
