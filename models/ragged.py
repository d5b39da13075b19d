"""How the flat tokens of a ragged batch map to sequences, rows and chunks.

A step feeds sequence i its T_i tokens; all tokens of all sequences lie flat, [T]. Linear
layers run on the flat tokens. Two things need to know where sequences begin: token shift and
the wkv scan. Both read it from here, computed once per step and used by every layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """The sequences of a step that have several tokens, cut into chunks of `size` tokens.

    Chunks are ordered by their place within their sequence, sequences by falling length:
    the j-th chunks of all sequences that have one are neighbours, so that the scan over j
    always works on a leading part of the sorted sequences.

    gather [K*size]: flat token index of every chunk position (T, one past the end, is padding);
    scatter [T']: chunk position of every flat token from `first_token` on;
    rows [P]: batch row of every sorted sequence; active: how many of them have a j-th chunk.
    """

    size: int
    first_token: int
    gather: Tensor
    scatter: Tensor
    rows: Tensor
    active: tuple[int, ...]

    def split(self, tensor: Tensor, padding: float = 0) -> Tensor:
        """By flat token [T,…] → by chunk [K,size,…], filled up with `padding`."""
        last = tensor.new_full((1, *tensor.shape[1:]), padding)
        return torch.cat((tensor, last))[self.gather].view(-1, self.size, *tensor.shape[1:])

    def join(self, chunks: Tensor) -> Tensor:
        """By chunk [K,size,…] → by flat token from `first_token` on [T',…]."""
        return chunks.flatten(0, 1)[self.scatter]


class WkvInputs(Protocol):
    """What a recurrence reads of every token."""

    def part(self, start: int, stop: int) -> Self:
        """Tokens `start` to `stop`."""
        ...


Inputs = TypeVar("Inputs", bound=WkvInputs)


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """lengths → where each sequence starts and ends, and which part is decode.

    The leading `decode` sequences have one token each and need no scan; `chunks` covers the
    others, or is None when there are none.
    """

    starts: Tensor
    ends: Tensor
    decode: int
    chunks: ChunkPlan | None

    @classmethod
    def of(cls, lengths: Sequence[int], *, chunk_size: int, device: torch.device) -> "RaggedBatch":
        if not lengths or min(lengths) < 1:
            raise ValueError(f"every sequence of a step needs at least one token, got {lengths}")
        bounds = torch.tensor([0, *lengths]).cumsum(0)
        decode = next((i for i, length in enumerate(lengths) if length > 1), len(lengths))
        chunks = _plan(lengths, decode, bounds, chunk_size) if decode < len(lengths) else None
        return cls(
            starts=bounds[:-1].to(device),
            ends=(bounds[1:] - 1).to(device),
            decode=decode,
            chunks=_to(chunks, device),
        )

    def shift(self, x: Tensor, last: Tensor) -> Tensor:
        """Token shift: the token before each of x [T,C]; `last` [B,C] is read, then updated."""
        if len(self.starts) == len(x):
            previous = last.clone()
            last.copy_(x)
            return previous
        previous = x.roll(1, 0)
        previous[self.starts] = last
        last.copy_(x[self.ends])
        return previous

    def recur(
        self,
        inputs: Inputs,
        state: Tensor,
        step: Callable[[Inputs, Tensor], Tensor],
        scan: Callable[[Inputs, Tensor, ChunkPlan], Tensor],
    ) -> Tensor:
        """y of all tokens [T,…]: decode rows by one `step`, the others by `scan`.

        state [B,…] is updated in place by both.
        """
        if self.chunks is None:
            return step(inputs, state)
        scanned = scan(inputs, state, self.chunks)
        if self.decode == 0:
            return scanned
        stepped = step(inputs.part(0, self.decode), state[: self.decode])
        return torch.cat((stepped, scanned))


def _plan(lengths: Sequence[int], decode: int, bounds: Tensor, size: int) -> ChunkPlan:
    rows = sorted(range(decode, len(lengths)), key=lambda row: -lengths[row])
    counts = [-(-lengths[row] // size) for row in rows]
    active = tuple(sum(count > j for count in counts) for j in range(counts[0]))
    total = int(bounds[-1])
    first = int(bounds[decode])
    gather = torch.full((sum(active) * size,), total)
    scatter = torch.empty(total - first, dtype=torch.int64)
    position = 0
    for j, alive in enumerate(active):
        for row in rows[:alive]:
            start = int(bounds[row]) + j * size
            stop = min(start + size, int(bounds[row + 1]))
            gather[position : position + stop - start] = torch.arange(start, stop)
            scatter[start - first : stop - first] = torch.arange(position, position + stop - start)
            position += size
    return ChunkPlan(size, first, gather, scatter, torch.tensor(rows), active)


def _to(plan: ChunkPlan | None, device: torch.device) -> ChunkPlan | None:
    if plan is None:
        return None
    return ChunkPlan(
        plan.size,
        plan.first_token,
        plan.gather.to(device),
        plan.scatter.to(device),
        plan.rows.to(device),
        plan.active,
    )
