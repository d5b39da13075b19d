"""What every RWKV generation has in common: its sizes, its state and its one forward call.

Legend of shape letters, used everywhere below `models`:
B sequences, T tokens (flat over all sequences), L layers, C embedding width, H heads,
N head size, F channel-mix width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Logits = NDArray[np.float32]
"""On the host: [V], or of several tokens [.,V]."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be served; the message is one sentence for its owner."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Everything about a checkpoint that can be known without running it.

    `fingerprint` is a hex digest of the weights' names, shapes and sampled contents: two
    checkpoints that would compute different logits have different fingerprints. generation is
    4, 5.0, 5.1, 5.2, 6 or 7; in RWKV-4 every channel is a head of size 1.
    """

    generation: str
    layers: int
    width: int
    heads: int
    head_size: int
    ffn_width: int
    vocab_size: int
    parameters: int
    fingerprint: str


@dataclass(slots=True)
class State:
    """The recurrent state of B sequences: all that a model remembers of what it was fed.

    att_shift [L,B,C] and ffn_shift [L,B,C] hold each block's last normalised input (token
    shift), in the number format of the activations. wkv is float32 always: [L,B,H,N,N], with
    key before value in RWKV-5 and 6 and value before key in 7; [L,B,3,C] in RWKV-4.
    """

    att_shift: Tensor
    wkv: Tensor
    ffn_shift: Tensor
    _arrays: tuple[NDArray[np.float32], ...] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.att_shift, self.wkv, self.ffn_shift

    @property
    def batch(self) -> int:
        return self.wkv.shape[1]

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    def rows(self, count: int) -> "State":
        """The first `count` sequences as a view: writing to it writes here."""
        return State(*(tensor[:, :count] for tensor in self.tensors))

    def copy_row(self, row: int) -> "State":
        """An independent copy (B = 1) on the host."""
        return State(*(hosted(t.narrow_copy(1, row, 1)) for t in self.tensors))

    def write_row(self, row: int, source: "State") -> None:
        """Overwrite one sequence with `source` (B = 1, any device)."""
        self._overwrite(row, source, 0)

    def move_row(self, source: int, target: int) -> None:
        """Overwrite row `target` with row `source`."""
        self._overwrite(target, self, source)

    def swap_rows(self, one: int, other: int) -> None:
        kept = State(*(tensor.narrow_copy(1, one, 1) for tensor in self.tensors))
        self.move_row(other, one)
        self.write_row(other, kept)

    def _overwrite(self, row: int, source: "State", other: int) -> None:
        """With the other row of `source`; on the host by numpy, whose views are no tensors that
        would be made and freed (see HostModel)."""
        mine, theirs = self._on_host(), source._on_host()
        if mine and theirs:
            for array, given in zip(mine, theirs, strict=True):
                array[:, row] = given[:, other]
        else:
            for tensor, lent in zip(self.tensors, source.tensors, strict=True):
                tensor[:, row].copy_(lent[:, other])

    def _on_host(self) -> tuple[NDArray[np.float32], ...]:
        """The tensors as arrays, none where not all can be."""
        if self._arrays is None:
            plain = all(t.is_cpu and t.dtype is torch.float32 for t in self.tensors)
            self._arrays = tuple(t.numpy() for t in self.tensors) if plain else ()
        return self._arrays


def hosted(tensor: Tensor) -> Tensor:
    """On the host; the same tensor where it is there already."""
    return tensor if tensor.is_cpu else tensor.cpu()


class Model(Protocol):
    """A loaded checkpoint. Not thread-safe: one thread owns it and its states."""

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def spare_tokens(self) -> int:
        """How many tokens more a step of one token takes for little; 0 also where logits depend
        on how tokens are cut into steps."""
        ...

    def new_state(self, batch: int) -> State:
        """The state of `batch` sequences before their first token, on the model's device."""
        ...

    def forward(
        self, tokens: Tensor, lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Tensor:
        """Feed every sequence its next tokens; return the logits after its last one.

        tokens: int64 [T], the sequences' tokens one after the other; lengths: B positive
        counts that add up to T; state: B sequences, updated in place. Any mix of lengths is
        one ragged batch, fastest when the sequences with a single token come first.
        Returns float32 [B,V] on the model's device; with `every` the logits after each token,
        [T,V].
        """
        ...


class Step(Protocol):
    """Model.forward on the host: tokens as numbers, and the logits as an array."""

    def __call__(
        self, tokens: Sequence[int], lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Logits: ...


@runtime_checkable
class HostModel(Protocol):
    """A model whose own way it is to step on the host. It makes no tensors: for each that torch
    makes or frees it gives the interpreter away, and another thread takes it; see
    docs/decisions/0067."""

    @property
    def step(self) -> Step: ...


def step_of(model: Model) -> Step:
    """Its own, or one around its forward."""
    if isinstance(model, HostModel):
        return model.step

    def step(
        tokens: Sequence[int], lengths: Sequence[int], state: State, *, every: bool = False
    ) -> Logits:
        logits = model.forward(torch.tensor(tokens), lengths, state, every=every)
        numbers: Logits = hosted(logits).numpy()
        return numbers

    return step
