"""Bytes of ids and lines that several snapshots share, each counted once while anyone holds it."""

from server.engine.snapshot import FedIds, Lines

Part = FedIds | Lines


class Ledger:
    """A part is held by the snapshots it ends, and by the held parts that continue it."""

    def __init__(self) -> None:
        self._holders: dict[Part, int] = {}
        self.nbytes = 0

    def add(self, part: Part) -> None:
        node: Part | None = part
        while node is not None:
            held = self._holders.get(node, 0)
            self._holders[node] = held + 1
            if held:
                return
            self.nbytes += node.own_nbytes
            node = node.previous

    def remove(self, part: Part) -> None:
        node: Part | None = part
        while node is not None:
            self._holders[node] -= 1
            if self._holders[node]:
                return
            del self._holders[node]
            self.nbytes -= node.own_nbytes
            node = node.previous
