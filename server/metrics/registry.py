"""The counters and histograms of one server, in a registry of their own, and its exposition."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from server.metrics.gauges import PREFIX, Gauges
from server.metrics.observers import AnswerCounts, AnswerMetrics, Pace, StepMetrics
from server.metrics.reading import Reading
from server.tallies import Spreads, Tallies

# Upper bounds in seconds, from a step of a small model on a GPU to a long answer on a CPU.
_STEP_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FIRST_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_REQUEST_S = (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """Everything that is counted of one server; `read` gives the gauges' values."""

    def __init__(self) -> None:
        self.read: Callable[[], Reading] = Reading
        self._registry = CollectorRegistry()
        self._paces: defaultdict[str, Pace] = defaultdict(Pace)
        self._count_http()
        self._count_answers()
        self._count_steps()
        self._registry.register(Gauges(self._reading))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def _reading(self) -> Reading:
        return self.read()  # as it is then: whoever builds the server sets it later

    def _count_http(self) -> None:
        ended, errors = "HTTP requests that have ended", "HTTP responses that are errors"
        self._requests = self._counter("http_requests", ended, "route", "status")
        self._errors = self._counter("errors", errors, "type", "code")
        name = "http_request_duration_seconds"
        self._request_s = self._spreads(name, "HTTP requests to their end", _REQUEST_S, "route")

    def _count_answers(self) -> None:
        saved = "Time that kept states have saved, an estimate"
        self._answers = AnswerCounts(
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
        return Counter(name, text, labels, namespace=PREFIX, registry=self._registry)

    def _tallies(self, name: str, text: str) -> Tallies:
        tallies = Tallies(f"{PREFIX}_{name}", text, "model")
        self._registry.register(tallies)
        return tallies

    def _spreads(
        self, name: str, text: str, bounds: Sequence[float], label: str = "model"
    ) -> Spreads:
        spreads = Spreads(f"{PREFIX}_{name}", text, label, bounds)
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
        return encode(WithoutCreated(self._registry)), content_type


class WithoutCreated(Collector):
    """A registry without the times at which series began, which would be as many series again."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric
