"""Spans of OpenTelemetry: one for each request, with what the engine did as its events.

Names and numbers only: nothing of a prompt, an answer or a key.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server import __version__

_NAME = "rwkv-server"


def exporter(endpoint: str | None) -> SpanExporter:
    """To a collector, by OTLP over HTTP; without an address, as the standard variables say."""
    if endpoint is None:
        return OTLPSpanExporter()
    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")


class Tracing:
    """Makes spans, which are sent by a thread of OpenTelemetry's."""

    def __init__(self, exporter: SpanExporter) -> None:
        known = {"service.name": _NAME, "service.version": __version__}
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first.
        resource = Resource(known).merge(Resource.create())
        if str(resource.attributes.get("service.name")).startswith("unknown_service"):
            resource = resource.merge(Resource(known))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(_NAME, __version__)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(
        self, method: str, headers: Mapping[str, str], request_id: str, *, inside: bool
    ) -> Iterator["RequestSpan"]:
        """A span around everything within; part of the caller's trace, if it names one.

        inside: a request of a batch, which has a trace of its own.
        """
        parent = Context() if inside else self._propagator.extract(headers, context=Context())
        attributes = {"http.request.method": method, "rwkv.request_id": request_id}
        span = self._tracer.start_span(
            method, context=parent, kind=SpanKind.SERVER, attributes=attributes
        )
        try:
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                yield RequestSpan(span, method)
        finally:
            span.end()

    def answer(self) -> "AnswerEvents | None":
        """What is to be told of an answer that the request begins to which this belongs."""
        span = trace.get_current_span()
        return AnswerEvents(span) if span.is_recording() else None

    def close(self) -> None:
        """Sends what is left; may take seconds."""
        self._provider.shutdown()


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def end(self, route: str, status: int, error: str | None) -> None:
        """route: an address as it is documented. error: its code, or its type."""
        self._span.update_name(f"{self._method} {route}")
        self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if error is not None:
            self._span.set_attribute("error.type", error)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)


class AnswerEvents:
    """Events of a span, from what the engine does; implements engine.observer.AnswerObserver."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._tokens = 0

    def admitted(self, computed: int, cached: int) -> None:
        self._event(
            "admitted", {"prompt.computed_tokens": computed, "prompt.cached_tokens": cached}
        )

    def started(self, seconds: float) -> None:
        self._event("prefill", {"queue.seconds": seconds})

    def first_token(self, seconds: float) -> None:
        self._tokens += 1
        self._event("decode", {"time_to_first_token.seconds": seconds})

    def next_tokens(self, seconds: Sequence[float]) -> None:
        self._tokens += len(seconds)

    def ended(self, reason: str) -> None:
        """tokens: of all choices until now."""
        self._event("end", {"finish_reason": reason, "answer.tokens": self._tokens})

    def _event(self, name: str, attributes: Mapping[str, str | int | float]) -> None:
        if self._span.is_recording():  # an answer may go on when its client has left
            self._span.add_event(name, attributes)
