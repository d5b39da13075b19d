"""Finds the longest known prefix of a conversation and keeps new ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.engine.snapshot import Snapshot
from server.session.keys import Key
from server.session.store import SnapshotStore


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a prompt continues from: `messages` of it are in the snapshot already.

    whole: the answer's header is in it too, so that nothing is left to feed.
    """

    snapshot: Snapshot | None
    messages: int
    whole: bool = False

    @property
    def tokens(self) -> int:
        return self.snapshot.tokens if self.snapshot else 0


class SessionManager:
    """The conversations of all callers, as snapshots under the keys of their prefixes."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store

    def resume(self, keys: Sequence[Key], prompt: Key) -> Resumption:
        """The longest kept prefix; keys[j] names the first j messages, `prompt` all of it."""
        snapshot = self._store.get(prompt)
        if snapshot is not None:
            return Resumption(snapshot, len(keys) - 1, whole=True)
        for messages in range(len(keys) - 1, 0, -1):
            snapshot = self._store.get(keys[messages])
            if snapshot is not None:
                return Resumption(snapshot, messages)
        return Resumption(None, 0)

    def keep(self, key: Key, snapshot: Snapshot, parent: Key | None) -> None:
        self._store.put(key, snapshot, parent)
