"""A quick measure of a network in training: loss and exact answers per ability.

An answer counts as exact when every one of its tokens, and the token that ends it, is the most
likely one after the true tokens before it: precisely then greedy decoding would write it. So one
forward pass over whole dialogues measures all of their answers.
"""

from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.gosling.batches import encode
from models.gosling.dialogues import Dialogue
from models.gosling.network import Network
from models.gosling.render import Segment, segments
from models.gosling.tokenizer import END

MOST_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Answer:
    """Targets [start, stop) of the packed tokens: an answer and the token that ends it."""

    ability: str
    start: int
    stop: int


@dataclass(slots=True)
class Score:
    """Over the answers of one ability: how many, how many exact, the mean loss of a token."""

    answers: int = 0
    exact: int = 0
    losses: list[float] = field(default_factory=list)

    @property
    def loss(self) -> float:
        return sum(self.losses) / max(len(self.losses), 1)


class Probe:
    """A fixed set of dialogues to measure networks by."""

    def __init__(self, dialogues: list[Dialogue], tokenizer: Tokenizer) -> None:
        self._packs: list[tuple[list[int], list[Answer]]] = [([], [])]
        for dialogue in dialogues:
            self._add(dialogue, tokenizer)

    def _add(self, dialogue: Dialogue, tokenizer: Tokenizer) -> None:
        if len(self._packs[-1][0]) > MOST_TOKENS:
            self._packs.append(([], []))
        tokens, answers = self._packs[-1]
        roles = [m.role for m in dialogue.messages]
        places = [i for i, role in enumerate(roles) if role == "assistant"]
        wanted = {places.index(i) for i in dialogue.checks} or set(range(len(places)))
        seen: list[Segment] = []
        number = 0
        for segment in segments(dialogue):
            header = bool(seen) and seen[-1].text.startswith("\n\nAssistant:")
            if header:
                if number in wanted:
                    start = len(tokens) + len(encode(seen, tokenizer).tokens) - 2
                    stop = start + len(tokenizer.encode(segment.text).ids) + 1
                    answers.append(Answer(dialogue.ability, start, stop))
                number += 1
            seen.append(segment)
        tokens += encode(seen, tokenizer).tokens

    @torch.no_grad()
    def measure(self, network: Network) -> dict[str, Score]:
        """By ability, in alphabetical order."""
        scores: dict[str, Score] = {}
        for tokens, answers in self._packs:
            right, losses = _predictions(network, tokens)
            for answer in answers:
                score = scores.setdefault(answer.ability, Score())
                score.answers += 1
                score.exact += bool(right[answer.start : answer.stop].all())
                score.losses.append(float(losses[answer.start : answer.stop].mean()))
        return dict(sorted(scores.items()))


def _predictions(network: Network, tokens: list[int]) -> tuple[Tensor, Tensor]:
    """For every position but the last: is the next token the most likely one, and its loss."""
    ids = torch.tensor([tokens], device=network.emb.weight.device)
    keep = torch.ones(ids.shape, device=ids.device)
    keep[:, 0] = 0
    keep[:, 1:][ids[:, :-1] == END] = 0
    logits = network(ids, keep)[0, :-1]
    targets = ids[0, 1:]
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return logits.argmax(-1) == targets, losses
