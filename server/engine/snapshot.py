"""Snapshots: a conversation's recurrent state as an immutable value."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.base import State


class FedIds:
    """The token ids that made a state, as a persistent list: branches share their past."""

    __slots__ = ("_ids", "length", "previous")

    def __init__(self, ids: Sequence[int] = (), previous: "FedIds | None" = None) -> None:
        self._ids = array("I", ids)
        self.previous = previous
        self.length: int = len(ids) + (previous.length if previous else 0)

    def then(self, ids: Sequence[int]) -> "FedIds":
        return FedIds(ids, self) if ids else self

    @property
    def own_nbytes(self) -> int:
        """Bytes of the ids that no predecessor holds."""
        return len(self._ids) * self._ids.itemsize

    @property
    def nbytes(self) -> int:
        return self.length * self._ids.itemsize

    def to_list(self) -> list[int]:
        return [i for part in reversed(list(self._parts())) for i in part]

    def _parts(self) -> Iterator[Sequence[int]]:
        node: FedIds | None = self
        while node is not None:
            yield node._ids
            node = node.previous


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State (B = 1, on the host), the logits [V] that follow it, and the ids that were fed.

    Immutable: whoever resumes from it copies the state into a slot. told: what the ids mean, in
    the words of whoever keeps it; the engine neither reads nor passes it on.
    """

    state: State
    logits: Tensor
    fed: FedIds
    told: bytes = b""

    @classmethod
    def of_initial(cls, state: State) -> "Snapshot":
        """A state that was tuned, not fed: no logits follow it before the first token."""
        return cls(state, torch.empty(0), FedIds())

    @property
    def tokens(self) -> int:
        return self.fed.length

    @property
    def nbytes(self) -> int:
        """Of all it holds, though others may hold the same ids."""
        return self.state.nbytes + self.logits.nbytes + self.fed.nbytes + len(self.told)
