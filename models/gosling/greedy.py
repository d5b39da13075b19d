"""Greedy answers of a checkpoint for many prompts at once, outside the server.

B prompts are fed as one ragged batch; then every sequence takes one token a step.
"""

from pathlib import Path

import torch
from torch import Tensor

from models import backends, loader, tokenizer
from models.base import State

MOST_TOKENS = 96
BATCH = 64
TURN = "\n\nUser:"


class Greedy:
    """Calling it answers prompts of token ids with texts, in order."""

    def __init__(self, folder: Path, device: str = "auto", dtype: str = "auto") -> None:
        self._model = loader.load(folder, backends.select(device), dtype)
        self._tokenizer = tokenizer.load(folder, self._model.spec.vocab_size)
        self.encode = self._tokenizer.encode

    @torch.inference_mode()
    def __call__(self, prompts: list[list[int]]) -> list[str]:
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        texts = [""] * len(prompts)
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            for i, text in zip(part, self._answers([prompts[i] for i in part]), strict=True):
                texts[i] = text
        return texts

    def _answers(self, prompts: list[list[int]]) -> list[str]:
        state = self._model.new_state(len(prompts))
        tokens = torch.tensor([token for prompt in prompts for token in prompt])
        logits = self._feed(tokens, [len(prompt) for prompt in prompts], state)
        written: list[list[int]] = [[] for _ in prompts]
        open_rows = set(range(len(prompts)))
        for _ in range(MOST_TOKENS):
            chosen = logits.argmax(-1)
            for row in list(open_rows):
                written[row].append(int(chosen[row]))
                if self._ended(written[row]):
                    open_rows.remove(row)
            if not open_rows:
                break
            logits = self._feed(chosen, [1] * len(prompts), state)
        return [self._text(ids) for ids in written]

    def _feed(self, tokens: Tensor, lengths: list[int], state: State) -> Tensor:
        return self._model.forward(tokens.to(self._model.device), lengths, state)

    def _ended(self, ids: list[int]) -> bool:
        return ids[-1] == self._tokenizer.eos_id or TURN in self._tokenizer.decode(ids[-4:])

    def _text(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids).split(TURN)[0]
