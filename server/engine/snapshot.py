"""Snapshots: a conversation's recurrent state as an immutable value."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
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

    @classmethod
    def of_tensor(cls, ids: Tensor) -> "FedIds":
        """What to_tensor() made."""
        return cls(array("I", ids.numpy().tobytes()))

    def then(self, ids: Sequence[int]) -> "FedIds":
        return FedIds(ids, self) if ids else self

    @property
    def own_nbytes(self) -> int:
        """Bytes of the ids that no predecessor holds."""
        return len(self._ids) * self._ids.itemsize

    @property
    def nbytes(self) -> int:
        return self.length * self._ids.itemsize

    def to_array(self) -> "array[int]":
        """A copy, made in microseconds where a list of a long text takes milliseconds."""
        return _joined(reversed(list(self._parts())))

    def to_list(self) -> list[int]:
        return self.to_array().tolist()

    def to_tensor(self) -> Tensor:
        """A copy, int32 [length]."""
        return torch.from_numpy(np.asarray(self.to_array()).view(np.int32))

    def last(self, count: int) -> "array[int]":
        """The last so many of them, or all."""
        parts, found = [], 0
        for part in self._parts():
            parts.append(part)
            found += len(part)
            if found >= count:
                break
        return _joined(reversed(parts))[max(found - count, 0) :]

    def _parts(self) -> Iterator["array[int]"]:
        node: FedIds | None = self
        while node is not None:
            yield node._ids
            node = node.previous


class Lines:
    """Bytes that are only added to, as a persistent list: branches share their past."""

    __slots__ = ("_data", "nbytes", "previous")

    def __init__(self, data: bytes = b"", previous: "Lines | None" = None) -> None:
        self._data = data
        self.previous = previous
        self.nbytes: int = len(data) + (previous.nbytes if previous else 0)

    def __bool__(self) -> bool:
        return self.nbytes > 0

    def then(self, data: bytes) -> "Lines":
        return Lines(data, self if self else None) if data else self

    @property
    def own_nbytes(self) -> int:
        """Those that no predecessor holds."""
        return len(self._data)

    def to_bytes(self) -> bytes:
        parts, node = [], self
        while node.previous is not None:
            parts.append(node._data)
            node = node.previous
        return b"".join([node._data, *reversed(parts)])


NO_LINES = Lines()


def _joined(parts: "Iterable[array[int]]") -> "array[int]":
    whole = array("I")
    for part in parts:
        whole.extend(part)
    return whole


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State (B = 1, on the host), the logits [V] that follow it, and the ids that were fed.

    Immutable: whoever resumes from it copies the state into a slot. told: what the ids mean, in
    the words of whoever keeps it; the engine neither reads nor passes it on.
    """

    state: State
    logits: Tensor
    fed: FedIds
    told: Lines = NO_LINES

    @classmethod
    def of_initial(cls, state: State) -> "Snapshot":
        """A state that was tuned, not fed: no logits follow it before the first token."""
        return cls(state, torch.empty(0), FedIds())

    @property
    def tokens(self) -> int:
        return self.fed.length

    @property
    def nbytes(self) -> int:
        """Of all it holds, though others may hold the same ids and lines."""
        return self.state.nbytes + self.logits.nbytes + self.fed.nbytes + self.told.nbytes
