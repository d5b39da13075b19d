"""Training batches: dialogues made on the fly, encoded segment by segment, packed into rows.

A batch is a function of (seed, rank, step) alone, so nothing about the data needs to be stored to
resume, and no dialogue is ever repeated. Rows hold T tokens; a document that the end of a row
cuts stands whole at the start of the next row. `keep` is 0 at the first token of a document;
`weight` is the weight of the loss on predicting the token after.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.gosling.render import Segment
from models.gosling.tokenizer import END, Splits, spell

SPLIT_DOCUMENTS = 0.3
SPLIT_RATE = 0.1
TURN_TOKENS = 3

Source: TypeAlias = Callable[[random.Random], list[Segment]]


@dataclass(frozen=True, slots=True)
class Document:
    """Token ids, and the weight of the loss on each of them. The last is END."""

    tokens: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Batch:
    """tokens and targets [B,T] int64; keep and weight [B,T] fp32."""

    tokens: Tensor
    targets: Tensor
    keep: Tensor
    weight: Tensor


def encode(
    segments: list[Segment], tokenizer: Tokenizer, spelled: dict[int, list[int]] | None = None
) -> Document:
    """Each segment on its own, as the server encodes them. The turn marker that opens a user
    segment has weight 1 (it is how the model ends its turn), the first token of all 0."""
    tokens: list[int] = []
    weights: list[float] = []
    for segment in segments:
        ids = tokenizer.encode(segment.text).ids
        marker = TURN_TOKENS if tokens and segment.text.startswith("\n\nUser:") else 0
        rest = spell(ids[marker:], spelled or {})
        tokens += ids[:marker] + rest
        weights += [1.0] * marker + [segment.weight] * len(rest)
    weights[0] = 0.0
    return Document([*tokens, END], [*weights, 1.0])


class Batches:
    """Makes the batches of one process."""

    def __init__(
        self, source: Source, tokenizer: Tokenizer, rows: int, length: int, seed: int, rank: int
    ) -> None:
        self._source, self._tokenizer, self._splits = source, tokenizer, Splits(tokenizer)
        self._rows, self._length = rows, length
        self._name = f"{seed}/{rank}"

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"{self._name}/{step}")
        tokens: list[list[int]] = []
        weights: list[list[float]] = []
        last: Document | None = None
        for _ in range(self._rows):
            row, weight, last = self._row(rng, last)
            tokens.append(row)
            weights.append(weight)
        return _batch(torch.tensor(tokens), torch.tensor(weights))

    def _row(
        self, rng: random.Random, first: Document | None
    ) -> tuple[list[int], list[float], Document]:
        document = first or self._document(rng)
        tokens, weights = list(document.tokens), list(document.weights)
        while len(tokens) < self._length:
            document = self._document(rng)
            tokens += document.tokens
            weights += document.weights
        return tokens[: self._length], weights[: self._length], document

    def _document(self, rng: random.Random) -> Document:
        segments = self._source(rng)
        spelled = None
        if rng.random() < SPLIT_DOCUMENTS:
            spelled = self._splits.document(rng, SPLIT_RATE)
        return encode(segments, self._tokenizer, spelled)


def _batch(tokens: Tensor, weights: Tensor) -> Batch:
    keep = torch.ones_like(weights)
    keep[:, 0] = 0
    keep[:, 1:][tokens[:, :-1] == END] = 0
    targets = torch.zeros_like(tokens)
    targets[:, :-1] = tokens[:, 1:]
    weight = torch.zeros_like(weights)
    weight[:, :-1] = weights[:, 1:]
    return Batch(tokens, targets, keep, weight)
