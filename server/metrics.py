"""What the server counts, in the form of Prometheus; docs/metrics.md says what each name means.

A Metrics has a registry of its own. Counters and histograms are told what happens, in the event
loop; gauges are read when someone asks for them. A label `model` is the id of a configured model
and never what a client wrote.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.tallies import Spread, Spreads, Tallies

_PREFIX = "rwkv_server"
REASONS = ("stop", "length", "cancelled", "failed")

# Upper bounds in seconds, from a step of a small model on a GPU to a long answer on a CPU.
_STEP_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FIRST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_REQUEST_S = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class ModelReading:
    """A configured model."""

    id: str
    generation: str
    dtype: str


@dataclass(frozen=True, slots=True)
class EngineReading:
    """A running engine, under its model's id; waiting: answers in flight that have no slot."""

    model: str
    in_flight: int
    waiting: int
    slots: int
    slots_used: int


@dataclass(frozen=True, slots=True)
class ArchiveReading:
    """Snapshots written to a tier and read from it, and what failed there."""

    writes: int
    reads: int
    errors: int
    dropped: int


@dataclass(frozen=True, slots=True)
class StoreReading:
    """The snapshots kept in one tier; archive: where it outlives the process.

    pinned: bytes of them; None where only others know.
    """

    tier: str
    snapshots: int
    nbytes: int
    evicted: int
    pinned: int | None
    archive: ArchiveReading | None = None


@dataclass(frozen=True, slots=True)
class DocumentsReading:
    """The stored documents that are here; shared: of how many a shared store has yet to be told,
    and what failed there, where there is one."""

    count: int = 0
    nbytes: int = 0
    evicted: int = 0
    shared: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What the gauges show; batches: how many have each status."""

    models: Sequence[ModelReading] = ()
    engines: Sequence[EngineReading] = ()
    stores: Sequence[StoreReading] = ()
    batches: Mapping[str, int] = field(default_factory=dict)
    documents: DocumentsReading = DocumentsReading()


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
class _AnswerCounts:
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

    def __init__(self, model: str, counts: _AnswerCounts, pace: Pace) -> None:
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

    def next_token(self, seconds: float) -> None:
        self._generated.add()
        self._between.observe(seconds)

    def ended(self, reason: str) -> None:
        self._ends[reason].inc()


class Metrics:
    """Everything that is counted of one server; `read` gives the gauges' values."""

    def __init__(self) -> None:
        self.read: Callable[[], Reading] = Reading
        self._registry = CollectorRegistry()
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._count_http()
        self._count_answers()
        self._count_steps()
        self._registry.register(_Gauges(self))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def _count_http(self) -> None:
        ended, errors = "HTTP requests that have ended", "HTTP responses that are errors"
        self._requests = self._counter("http_requests", ended, "route", "status")
        self._errors = self._counter("errors", errors, "type", "code")
        name = "http_request_duration_seconds"
        self._request_s = self._spreads(name, "HTTP requests to their end", _REQUEST_S, "route")

    def _count_answers(self) -> None:
        saved = "Time that kept states have saved, an estimate"
        self._answers = _AnswerCounts(
            prompts=self._counter("prompt_tokens", "Tokens of prompts", "model", "kind"),
            generated=self._tallies("generated_tokens", "Sampled tokens"),
            answers=self._counter("answers", "Answers that have ended", "model", "finish_reason"),
            saved=self._counter("prefill_saved_seconds", saved, "model"),
            waited=self._spreads("queue_seconds", "Admission to slot", _FIRST_S),
            first=self._spreads(
                "time_to_first_token_seconds", "Admission to first token", _FIRST_S
            ),
            between=self._spreads("inter_token_latency_seconds", "Token to next token", _STEP_S),
        )

    def _count_steps(self) -> None:
        self._steps = (
            self._spreads("step_duration_seconds", "Engine steps", _STEP_S),
            self._spreads("step_sequences", "Sequences fed by a step", _SEQUENCES),
            self._spreads("step_tokens", "Tokens fed by a step", _TOKENS),
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace=_PREFIX, registry=self._registry)

    def _tallies(self, name: str, text: str) -> Tallies:
        tallies = Tallies(f"{_PREFIX}_{name}", text, "model")
        self._registry.register(tallies)
        return tallies

    def _spreads(
        self, name: str, text: str, bounds: Sequence[float], label: str = "model"
    ) -> Spreads:
        spreads = Spreads(f"{_PREFIX}_{name}", text, label, bounds)
        self._registry.register(spreads)
        return spreads

    def answers(self, model: str, engine: str | None = None) -> AnswerMetrics:
        """What counts the answers of a configured model, which another's engine may compute."""
        return AnswerMetrics(model, self._answers, self._paces[engine or model])

    def steps(self, model: str) -> StepMetrics:
        """What counts the steps of the engine that a configured model has."""
        seconds, sequences, tokens = (spreads.of(model) for spreads in self._steps)
        return StepMetrics(seconds, sequences, tokens, self._paces[model])

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request has ended; `route` is an address as it is documented."""
        self._requests.labels(route, str(status)).inc()
        self._request_s.of(route).observe(seconds)

    def error(self, type: str, code: str | None) -> None:
        """A response was an error."""
        self._errors.labels(type, code or "none").inc()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All of it in the form that an Accept header asks for, and that form's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(_WithoutCreated(self._registry)), content_type


class _WithoutCreated(Collector):
    """A registry without the times at which series began, which would be as many series again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


class _Gauges(Collector):
    """What is read when someone asks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        reading = self._metrics.read()
        yield _info(reading.models)
        engines, stores = reading.engines, reading.stores
        in_flight = [(engine.model, engine.in_flight) for engine in engines]
        waiting = [(engine.model, engine.waiting) for engine in engines]
        yield _gauge("answers_in_flight", "Answers under way", "model", in_flight)
        yield _gauge("answers_waiting", "Answers without a slot", "model", waiting)
        slots = [(engine.model, engine.slots) for engine in engines]
        used = [(engine.model, engine.slots_used) for engine in engines]
        yield _gauge("slots", "Slots in all", "model", slots)
        yield _gauge("slots_used", "Slots in use", "model", used)
        kept = [(store.tier, store.snapshots) for store in stores]
        nbytes = [(store.tier, store.nbytes) for store in stores]
        yield _gauge("snapshots", "Kept snapshots", "tier", kept)
        yield _gauge("snapshot_bytes", "Bytes of kept snapshots", "tier", nbytes)
        pinned = [(store.tier, store.pinned) for store in stores if store.pinned is not None]
        yield _gauge("pinned_bytes", "Bytes of snapshots that are pinned", "tier", pinned)
        evicted = [(store.tier, store.evicted) for store in stores]
        yield _count("snapshot_evictions", "Snapshots given up for room", evicted)
        yield from _archives([(s.tier, s.archive) for s in stores if s.archive is not None])
        yield _gauge("batches", "Batches", "status", list(reading.batches.items()))
        yield from _documents(reading.documents)


def _info(models: Sequence[ModelReading]) -> Metric:
    labels = ["id", "generation", "dtype"]
    info = GaugeMetricFamily(f"{_PREFIX}_model_info", "A model that is served", labels=labels)
    for model in models:
        info.add_metric([model.id, model.generation, model.dtype], 1)
    return info


def _gauge(name: str, text: str, label: str, values: Sequence[tuple[str, int]]) -> Metric:
    gauge = GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=[label])
    for value_of, value in values:
        gauge.add_metric([value_of], value)
    return gauge


def _archives(archives: Sequence[tuple[str, ArchiveReading]]) -> Iterator[Metric]:
    writes = [(tier, archive.writes) for tier, archive in archives]
    reads = [(tier, archive.reads) for tier, archive in archives]
    errors = [(tier, archive.errors) for tier, archive in archives]
    yield _count("archive_writes", "Snapshots written to an archive", writes)
    yield _count("archive_reads", "Snapshots read from an archive", reads)
    yield _count("archive_errors", "What failed at an archive", errors)
    dropped = [(tier, archive.dropped) for tier, archive in archives]
    yield _count("archive_dropped", "Snapshots an archive was too slow for", dropped)


def _documents(reading: DocumentsReading) -> Iterator[Metric]:
    yield _plain(GaugeMetricFamily, "documents", "Stored documents", reading.count)
    yield _plain(GaugeMetricFamily, "document_bytes", "Bytes of stored documents", reading.nbytes)
    given_up = "Stored documents given up for room"
    yield _plain(CounterMetricFamily, "document_evictions", given_up, reading.evicted)
    if reading.shared is not None:
        waiting, errors = reading.shared
        late, failed = "Documents a shared store is yet to get", "What failed at a shared store"
        yield _plain(GaugeMetricFamily, "documents_waiting", late, waiting)
        yield _plain(CounterMetricFamily, "document_errors", failed, errors)


def _plain(family: Callable[..., Metric], name: str, text: str, value: int) -> Metric:
    return family(f"{_PREFIX}_{name}", text, value=value)


def _count(name: str, text: str, values: Sequence[tuple[str, int]]) -> Metric:
    count = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=["tier"])
    for tier, value in values:
        count.add_metric([tier], value)
    return count
