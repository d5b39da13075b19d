"""Slots: the rows of one batch state, always dense from row 0."""

from collections.abc import Sequence as Seq

import torch

from models.base import Model, State
from server.engine.sequence import Sequence
from server.engine.snapshot import Snapshot


class Slots:
    """Sequence i of `sequences` lives in row i of the batch state."""

    def __init__(self, model: Model, capacity: int) -> None:
        self._state = model.new_state(capacity)
        self._empty = model.new_state(1)
        self._leading: dict[int, State] = {}  # what lead() returned, by how many rows
        self.sequences: list[Sequence] = []

    @property
    def capacity(self) -> int:
        return self._state.batch

    @property
    def free(self) -> int:
        return self.capacity - len(self.sequences)

    def add(self, sequence: Sequence) -> None:
        row = len(self.sequences)
        self.sequences.append(sequence)
        if sequence.start is None:
            self._state.write_row(row, self._empty)
        else:
            self._state.write_row(row, sequence.start)
            sequence.start = None  # its memory belongs to the session again

    def remove(self, sequence: Sequence) -> None:
        """Free a slot; the last row moves into the hole."""
        row, last = self.sequences.index(sequence), len(self.sequences) - 1
        if row != last:
            self._state.move_row(last, row)
            self.sequences[row] = self.sequences[last]
        self.sequences.pop()

    def park(self, sequence: Sequence) -> None:
        """Free a slot for now: the sequence goes on from here when it is added again."""
        sequence.start = self._state.copy_row(self.sequences.index(sequence))
        self.remove(sequence)

    def lead(self, chosen: Seq[Sequence]) -> State:
        """Bring `chosen` to the leading rows, in order, and return those rows as a view."""
        for row, sequence in enumerate(chosen):
            other = self.sequences.index(sequence)
            if other != row:
                self._state.swap_rows(row, other)
                self.sequences[other], self.sequences[row] = self.sequences[row], sequence
        if len(chosen) not in self._leading:
            self._leading[len(chosen)] = self._state.rows(len(chosen))
        return self._leading[len(chosen)]

    def snapshot(self, sequence: Sequence) -> Snapshot:
        """Copy a sequence's state out; valid once it has logits."""
        assert sequence.logits is not None
        assert sequence.ahead is None
        state = self._state.copy_row(self.sequences.index(sequence))
        logits = torch.from_numpy(sequence.logits.copy())
        return Snapshot(state, logits, sequence.record())

    def copy(self, sequence: Sequence) -> State:
        """Of a sequence's state alone."""
        return self._state.copy_row(self.sequences.index(sequence))

    def restore(self, sequence: Sequence, state: State) -> None:
        self._state.write_row(self.sequences.index(sequence), state)
