"""Finds the longest known prefix of a conversation, or of a text, and keeps new ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.engine.snapshot import Snapshot
from server.session.ids import KnownLengths, Owner
from server.session.keys import Key, id_keys
from server.session.store import SnapshotStore


@dataclass(frozen=True, slots=True)
class Resumption:
    """The snapshot a prompt continues from; it covers the first `segments` of the prompt."""

    snapshot: Snapshot | None = None
    segments: int = 0

    @property
    def tokens(self) -> int:
        return self.snapshot.tokens if self.snapshot else 0


class SessionManager:
    """The conversations of all callers, as snapshots under the keys of their prefixes."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._lengths = KnownLengths()

    def resume(self, keys: Sequence[Key | None]) -> Resumption:
        """The longest kept prefix; keys name the prompt up to the end of each segment."""
        for number in range(len(keys), 0, -1):
            key = keys[number - 1]
            snapshot = self._store.get(key) if key is not None else None
            if snapshot is not None:
                return Resumption(snapshot, number)
        return Resumption()

    def keep(self, key: Key, snapshot: Snapshot, parent: Key | None) -> None:
        """Keep a snapshot that continues the one of `parent`."""
        self._store.put(key, snapshot, parent)

    def resume_ids(self, owner: Owner, ids: Sequence[int]) -> Snapshot | None:
        """The snapshot of the longest kept prefix of a text that is no conversation."""
        return self.resume(list(id_keys(owner, ids, self._lengths.up_to(owner, len(ids))))).snapshot

    def keep_ids(self, owner: Owner, snapshot: Snapshot, parent: int) -> None:
        """Keep a snapshot that continues the one of its first `parent` ids, if there are any."""
        ids = snapshot.fed.to_list()
        *before, key = id_keys(owner, ids, [parent, len(ids)] if parent else [len(ids)])
        self._lengths.note(owner, len(ids))
        self.keep(key, snapshot, before[0] if before else None)
