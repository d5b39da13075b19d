"""What is measured, as plain values: --json prints a Report or a QualityReport as it is.

docs/benchmarks.md explains every field. Times end in `_s` or `_ms`, sizes in `_bytes`; None stands
for what cannot be known, such as the memory of a server elsewhere.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("first", "follow_up", "regenerate", "edit", "branch", "return")
"""Kinds of turns, in the order they are measured."""

LEAST_TURNS = 7


class BenchError(Exception):
    """Why there are no figures; the message is one sentence for the person."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range over the rounds."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class Decode:
    """Tokens per second of all streams together."""

    streams: int
    tokens_per_s: Spread


@dataclass(frozen=True, slots=True)
class Answers:
    """Tokens per second of all streams together, the time of their prompts included.

    prompt_tokens: of each prompt; cached_tokens: those of them that were not read. engine_share:
    tokens_per_s as a share of what the engine alone does with as long prompts; of this server only.
    writing_per_s: those behind the first of each answer, from there to the last; writing_share: as
    a share of the engine's decode. None where an answer came in one piece.
    """

    streams: int
    tokens_per_s: Spread
    prompt_tokens: int | None
    cached_tokens: int | None = None
    engine_share: float | None = None
    writing_per_s: Spread | None = None
    writing_share: float | None = None


@dataclass(frozen=True, slots=True)
class Prefill:
    """Prompt tokens per second of one prompt of `tokens`."""

    tokens: int
    tokens_per_s: Spread


@dataclass(frozen=True, slots=True)
class Turns:
    """Milliseconds to the first token by kind of turn.

    history: the tokens asked for; prompt_tokens: what the server counted in the first turn.
    """

    history: int
    prompt_tokens: int | None
    first_token_ms: dict[str, Spread]


@dataclass(frozen=True, slots=True)
class Long:
    """Milliseconds to the first token of turns 2 to 4 and of the last three of `turns`."""

    turns: int
    early_ms: Spread
    late_ms: Spread


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    answer_tokens: of a stream while its speed is taken. others: conversations between leaving one
    and coming back. turns: of a long conversation of short messages; 0 is none, else at least
    LEAST_TURNS.
    """

    streams: tuple[int, ...] = (1, 8, 32)
    prefill: tuple[int, ...] = (512, 2048)
    history: tuple[int, ...] = (100, 1000, 4000)
    answer_tokens: int = 64
    others: int = 100
    turns: int = 0
    rounds: int = 3


@dataclass(frozen=True, slots=True)
class Machine:
    processor: str
    cores: int
    system: str
    python: str
    torch: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The model. random_weights: it was made up in an official size."""

    id: str
    generation: str
    parameters: int
    layers: int
    width: int
    vocab_size: int
    dtype: str
    device: str
    random_weights: bool


@dataclass(frozen=True, slots=True)
class EngineFigures:
    """Without HTTP. load_s: from the file, cached by the system, to a model ready to run.

    decode: greedy, once the prompts are read; sampled: the same at temperature 1 and top_p 0.5;
    answers: greedy, prompts and all, as over HTTP.
    """

    load_s: float
    state_bytes: int
    decode: tuple[Decode, ...]
    sampled: tuple[Decode, ...]
    answers: tuple[Answers, ...]
    prefill: tuple[Prefill, ...]


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """Over HTTP. start_s: from the start of the process until it listens.

    loaded_bytes, worked_bytes: resident memory of the process then, and after the measurements.
    """

    name: str
    url: str
    model: str
    start_s: float | None
    loaded_bytes: int | None
    worked_bytes: int | None
    decode: tuple[Answers, ...]
    turns: tuple[Turns, ...]
    long: Long | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything; `servers` has this one first, where it was measured."""

    version: str
    machine: Machine
    plan: Plan
    model: Measured | None
    engine: EngineFigures | None
    servers: tuple[ServerFigures, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """As models.quality.Quality, for one number format."""

    dtype: str
    tokens: int
    perplexity: float
    kl: float
    agreement: float


@dataclass(frozen=True, slots=True)
class QualityReport:
    """text: where it is from; reference: the number format all are compared with."""

    version: str
    model: str
    text: str
    reference: str
    formats: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class MaskFigures:
    """Of one kind of constraint.

    tokens: whose masks were timed. prepare_ms: from the request's words to a grammar.
    """

    name: str
    tokens: int
    prepare_ms: float
    median_us: float
    p99_us: float
    most_us: float
