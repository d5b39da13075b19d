"""Tokens per second of the engine alone, without HTTP: decode at several widths, and prefill."""

import time
from collections.abc import Callable
from dataclasses import replace

from models.base import Model
from server.bench.report import BenchError, Spread, spread
from server.engine.engine import Engine
from server.engine.messages import Branch, Event, Failed, Sampling, Submit, TokenSampled, Watched

PROMPT = 16  # tokens
CHUNK = 256  # prompt tokens a step, as the server's default


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


GREEDY = Sampling(temperature=0)
SAMPLED = Sampling(top_p=0.5)


def decode(model: Model, streams: int, tokens: int, rounds: int, sampling: Sampling) -> Spread:
    """Tokens per second of all `streams` together, `tokens` of each, once prompts are read."""
    return _speed(streams * tokens, rounds, lambda: _decode_once(model, streams, tokens, sampling))


def answers(model: Model, streams: int, prompt: int, tokens: int, rounds: int) -> Spread:
    """The same, greedy, with the time of prompts of `prompt` tokens, read as a server does."""
    return _speed(streams * tokens, rounds, lambda: _answer_once(model, streams, prompt, tokens))


def prefill(model: Model, tokens: int, rounds: int) -> Spread:
    """Prompt tokens per second of one prompt."""
    return _speed(tokens, rounds, lambda: _prefill_once(model, tokens))


def _speed(tokens: int, rounds: int, once: Callable[[], float]) -> Spread:
    once()  # the first run pays for allocations
    return spread([tokens / once() for _ in range(rounds)])


def _decode_once(model: Model, streams: int, tokens: int, sampling: Sampling) -> float:
    engine = _busy(model, streams, PROMPT, tokens, sampling, chunk=PROMPT * streams)
    engine.step()  # prompts
    return _finish(engine)


def _answer_once(model: Model, streams: int, prompt: int, tokens: int) -> float:
    start = time.perf_counter()
    engine = _busy(model, streams, prompt, tokens, GREEDY, CHUNK)
    _finish(engine)
    return time.perf_counter() - start


def _busy(
    model: Model, streams: int, prompt: int, tokens: int, sampling: Sampling, chunk: int
) -> Engine:
    """An engine with prompts that have nothing in common, which it would read once."""
    engine = Engine(model, max_slots=streams, prefill_chunk=chunk)
    for i in range(streams):
        ids = tuple((977 * i + k) % (model.spec.vocab_size - 1) + 1 for k in range(prompt))
        branch = Branch(replace(sampling, seed=i), NeverStops())
        engine.submit(Submit(str(i), None, (ids,), (branch,), tokens, frozenset()))
    return engine


def _finish(engine: Engine) -> float:
    start = time.perf_counter()
    while not engine.idle:
        _step(engine)
    return time.perf_counter() - start


def _prefill_once(model: Model, tokens: int) -> float:
    engine = Engine(model, max_slots=1, prefill_chunk=CHUNK)
    ids = tuple(i % (model.spec.vocab_size - 1) + 1 for i in range(tokens))
    branch = Branch(GREEDY, NeverStops())
    engine.submit(Submit("p", None, (ids,), (branch,), 1, frozenset()))
    start = time.perf_counter()
    while not any(isinstance(event, TokenSampled) for event in _step(engine)):
        pass
    return time.perf_counter() - start


def _step(engine: Engine) -> list[Event]:
    events = engine.step()
    for event in events:
        if isinstance(event, Failed):
            raise BenchError(f"the engine failed: {event.message}.")
    return events
