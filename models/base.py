"""What every RWKV generation has in common: its sizes, its state and its one forward call.

Legend of shape letters, used everywhere below `models`:
B sequences, T tokens (flat over all sequences), L layers, C embedding width, H heads,
N head size, F channel-mix width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


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
        copies = (t[:, row : row + 1].to("cpu", copy=True).contiguous() for t in self.tensors)
        return State(*copies)

    def write_row(self, row: int, source: "State") -> None:
        """Overwrite one sequence with `source` (B = 1, any device)."""
        for mine, other in zip(self.tensors, source.tensors, strict=True):
            mine[:, row : row + 1].copy_(other)

    def move_row(self, source: int, target: int) -> None:
        """Overwrite row `target` with row `source`."""
        for tensor in self.tensors:
            tensor[:, target].copy_(tensor[:, source])

    def swap_rows(self, one: int, other: int) -> None:
        for tensor in self.tensors:
            kept = tensor[:, one].clone()
            tensor[:, one].copy_(tensor[:, other])
            tensor[:, other].copy_(kept)


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
