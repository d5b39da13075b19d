"""Traces of a real server: in memory, and at a collector that stands in for a real one."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from server import telemetry
from server.telemetry import TelemetryError, open_tracing
from server.telemetry.spans import Tracing
from tests.server.api.test_sdk import eventually
from tests.server.tiny import checkpoint, served

SECRET = "sesame"
KEY = "key-of-ann"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


def body(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": SECRET}]
    return {"model": "tiny", "messages": messages, "max_tokens": 3, "seed": 1} | fields


@pytest.fixture
def spans(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Traced"]:
    memory = InMemorySpanExporter()
    monkeypatch.setattr("server.telemetry.spans.exporter", lambda endpoint: memory)
    with served(path, log__otlp_endpoint="http://unused", server__api_keys=[KEY]) as (url, app):
        traced = Traced(url, memory, app.context.tracing)
        with traced.client:
            yield traced


class Traced:
    def __init__(self, url: str, memory: InMemorySpanExporter, tracing: Tracing | None) -> None:
        self.client = httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"})
        self._memory = memory
        self._tracing = tracing

    def of(self, name: str) -> ReadableSpan:
        """The one span of this name, once it has ended."""

        def found() -> list[ReadableSpan]:
            assert self._tracing is not None
            self._tracing._provider.force_flush()
            return [span for span in self._memory.get_finished_spans() if span.name == name]

        assert eventually(lambda: bool(found()))
        (span,) = found()
        return span


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_a_span_with_what_the_engine_did(spans: Traced, stream: bool) -> None:
    response = spans.client.post("/v1/chat/completions", json=body(stream=stream, n=2))
    span = spans.of("POST /v1/chat/completions")
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["http.route"] == "/v1/chat/completions"
    assert span.attributes["rwkv.request_id"] == response.headers["x-request-id"]
    names = [event.name for event in span.events]
    assert names[:2] == ["admitted", "prefill"]
    assert sorted(names[2:]) == ["decode", "decode", "end", "end"]
    times = [event.timestamp for event in span.events]
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time < times[0] <= times[-1] < span.end_time
    assert times == sorted(times)
    last = span.events[-1].attributes
    assert last is not None
    assert last["answer.tokens"] == 6


def test_a_span_belongs_to_the_trace_of_its_caller(spans: Traced) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    spans.client.get("/v1/models", headers={"traceparent": parent})
    span = spans.of("GET /v1/models")
    assert f"{span.get_span_context().trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"


def test_a_failure_is_named_by_its_code(spans: Traced) -> None:
    spans.client.post("/v1/chat/completions", json=body(model="other"))
    span = spans.of("POST /v1/chat/completions")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "model_not_found"
    assert span.attributes["http.response.status_code"] == 404
    assert span.events == ()


def test_an_address_that_is_none_is_no_name(spans: Traced) -> None:
    spans.client.get(f"/{SECRET}?q={SECRET}")
    assert spans.of("GET none").attributes is not None


class Collector(HTTPServer):
    """Takes what is sent to it by OTLP over HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        data = self.rfile.read(int(self.headers["content-length"]))
        self.server.paths.append(self.path)
        self.server.bodies.append(data)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as standin:
        thread = threading.Thread(target=standin.serve_forever)
        thread.start()
        yield standin
        standin.shutdown()
        thread.join()


@pytest.mark.parametrize("by", ["setting", "variable"])
def test_a_collector_gets_names_and_numbers_and_no_text(
    path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    endpoint = f"http://127.0.0.1:{collector.server_port}"
    options: dict[str, Any] = {"log__otlp_endpoint": endpoint} if by == "setting" else {}
    if by == "variable":
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    with served(path, server__api_keys=[KEY], **options) as (url, _):
        headers = {"authorization": f"Bearer {KEY}"}
        answer = httpx.post(f"{url}/v1/chat/completions", json=body(), headers=headers).json()
        text = answer["choices"][0]["message"]["content"]
    assert set(collector.paths) == {"/v1/traces"}
    received = ExportTraceServiceRequest.FromString(collector.bodies[0])
    (resource,) = received.resource_spans
    named = {item.key: item.value.string_value for item in resource.resource.attributes}
    assert named["service.name"] == "rwkv-server"
    (span,) = resource.scope_spans[0].spans
    assert span.name == "POST /v1/chat/completions"
    sent = b"".join(collector.bodies)
    assert all(private.encode() not in sent for private in (SECRET, KEY, text) if private)


def test_without_an_address_there_are_no_traces() -> None:
    assert open_tracing(None, {}) is None
    disabled = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert open_tracing(None, disabled) is None


def test_a_server_without_traces_imports_nothing_for_them() -> None:
    program = "import sys, server.app, json; print(json.dumps(sorted(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    modules = json.loads(found.stdout)
    assert "server.telemetry" in modules
    assert [
        name for name in modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))
    ] == []


def test_a_missing_package_is_told_and_ends_only_who_asked_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "server.telemetry.spans", None)
    with pytest.raises(TelemetryError, match=r"pip install .rwkv-server\[otel\]"):
        open_tracing("http://127.0.0.1:1", {})
    with caplog.at_level(logging.WARNING, logger=telemetry.__name__):
        assert open_tracing(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "rwkv-server[otel]" in caplog.text
