"""Tokens per second of the engine alone: decode at several widths, and prefill."""

import statistics
import time
from dataclasses import dataclass

from models.base import Model
from server.engine.engine import Engine
from server.engine.messages import Branch, Sampling, Submit, Watched

PROMPT = tuple(range(1, 17))


class NeverStops:
    """A watcher that costs nothing, so that the engine alone is measured."""

    def __init__(self) -> None:
        self._count = 0

    def push(self, token: int) -> Watched:
        del token
        self._count += 1
        return Watched("", self._count)

    def close(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Speed:
    """Median and range of tokens per second over the repeats."""

    median: float
    low: float
    high: float


def decode(model: Model, streams: int, tokens: int, repeats: int) -> Speed:
    """Tokens per second of all `streams` together."""
    return _speed(streams * tokens, repeats, lambda: _decode_once(model, streams, tokens))


def prefill(model: Model, tokens: int, chunk: int, repeats: int) -> Speed:
    """Prompt tokens per second of one prompt, in steps of `chunk`."""
    return _speed(tokens, repeats, lambda: _prefill_once(model, tokens, chunk))


def _speed(tokens: int, repeats: int, once) -> Speed:  # type: ignore[no-untyped-def]
    once()  # the first run pays for allocations
    rates = [tokens / once() for _ in range(repeats)]
    return Speed(statistics.median(rates), min(rates), max(rates))


def _decode_once(model: Model, streams: int, tokens: int) -> float:
    engine = Engine(model, max_slots=streams, prefill_chunk=1024)
    for i in range(streams):
        branch = Branch(Sampling(top_p=0.5, seed=i), NeverStops())
        engine.submit(Submit(str(i), None, (PROMPT,), (branch,), tokens, frozenset()))
    engine.step()  # prompts
    start = time.perf_counter()
    while not engine.idle:
        engine.step()
    return time.perf_counter() - start


def _prefill_once(model: Model, tokens: int, chunk: int) -> float:
    engine = Engine(model, max_slots=1, prefill_chunk=chunk)
    ids = tuple(i % (model.spec.vocab_size - 1) + 1 for i in range(tokens))
    branch = Branch(Sampling(temperature=0), NeverStops())
    engine.submit(Submit("p", None, (ids,), (branch,), 1, frozenset()))
    start = time.perf_counter()
    while not engine.idle:
        engine.step()
    return time.perf_counter() - start
