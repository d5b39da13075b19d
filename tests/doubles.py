"""Stand-ins for the model and the text side, with behaviour a test can predict."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.base import ModelSpec, State
from server.engine.messages import Watched


class CountingModel:
    """A model whose logits say what it was fed: the next id is (sum of all fed ids) mod V.

    wkv[0,b,0,0,0] holds the running sum, so a state that is mixed up shows at once.
    `fail_on` makes a forward that contains this token raise.
    """

    def __init__(self, vocab_size: int = 97, fail_on: int | None = None) -> None:
        self.spec = ModelSpec("7", 1, 4, 1, 4, 16, vocab_size, 0, "counting")
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.fail_on = fail_on
        self.steps: list[tuple[int, ...]] = []

    def new_state(self, batch: int) -> State:
        shift = torch.zeros(1, batch, 4)
        return State(shift, torch.zeros(1, batch, 1, 4, 4), shift.clone())

    def forward(self, tokens: Tensor, lengths: Sequence[int], state: State) -> Tensor:
        if self.fail_on is not None and self.fail_on in tokens:
            raise RuntimeError("forward broke")
        self.steps.append(tuple(lengths))
        sums = torch.stack([part.sum() for part in tokens.split(list(lengths))])
        state.wkv[0, :, 0, 0, 0] += sums
        logits = torch.full((len(sums), self.spec.vocab_size), -1e4)
        logits[range(len(sums)), state.wkv[0, :, 0, 0, 0].long() % self.spec.vocab_size] = 0
        return logits


class SilentWatcher:
    """Delivers every token as its number and never stops."""

    def __init__(self) -> None:
        self.count = 0

    def push(self, token: int) -> Watched:
        self.count += 1
        return Watched(f"{token} ", self.count)

    def close(self) -> str:
        return ""
