"""What an engine tells as it happens, its steps and its answers, counted in the event loop."""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import Counter

from server.tallies import Spread, Spreads, Tallies

REASONS = ("stop", "length", "cancelled", "failed")


class Pace:
    """How long an engine takes for a token of a prompt, by all its steps that read prompts."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._tokens = 0

    def step_taken(self, seconds: float, sequences: int, tokens: int) -> None:
        if tokens > sequences:
            self._seconds += seconds
            self._tokens += tokens

    def seconds(self, tokens: int) -> float:
        """An estimate for so many tokens; 0 while no prompt was read."""
        return self._seconds / self._tokens * tokens if self._tokens else 0.0


class StepMetrics:
    """Counts the steps of one engine."""

    def __init__(self, seconds: Spread, sequences: Spread, tokens: Spread, pace: Pace) -> None:
        self._seconds, self._sequences, self._tokens = seconds, sequences, tokens
        self._pace = pace

    def step_taken(self, seconds: float, sequences: int, tokens: int) -> None:
        self._seconds.observe(seconds)
        self._sequences.observe(sequences)
        self._tokens.observe(tokens)
        self._pace.step_taken(seconds, sequences, tokens)


@dataclass(frozen=True, slots=True)
class AnswerCounts:
    """Of all models."""

    prompts: Counter
    generated: Tallies
    answers: Counter
    saved: Counter
    waited: Spreads
    first: Spreads
    between: Spreads


class AnswerMetrics:
    """Counts the answers of one model; all its series are there from the start, at 0."""

    def __init__(self, model: str, counts: AnswerCounts, pace: Pace) -> None:
        self._computed = counts.prompts.labels(model, "computed")
        self._cached = counts.prompts.labels(model, "cached")
        self._generated = counts.generated.of(model)
        self._ends = {reason: counts.answers.labels(model, reason) for reason in REASONS}
        self._saved, self._waited = counts.saved.labels(model), counts.waited.of(model)
        self._pace = pace
        self._first, self._between = counts.first.of(model), counts.between.of(model)

    def admitted(self, computed: int, cached: int) -> None:
        self._computed.inc(computed)
        self._cached.inc(cached)
        self._saved.inc(self._pace.seconds(cached))

    def started(self, seconds: float) -> None:
        self._waited.observe(seconds)

    def first_token(self, seconds: float) -> None:
        self._generated.add()
        self._first.observe(seconds)

    def next_tokens(self, seconds: Sequence[float]) -> None:
        self._generated.add(len(seconds))
        for each in seconds:
            self._between.observe(each)

    def ended(self, reason: str) -> None:
        self._ends[reason].inc()
