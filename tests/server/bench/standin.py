"""A server of chat completions that is not ours, with usage or without."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECES = ("one", " two", " \u2028three")


class Standin(ThreadingHTTPServer):
    """Answers every request with PIECES; `bodies` and `keys` are what it was sent."""

    daemon_threads = True

    def __init__(self, status: int = 200, usage: dict[str, int] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.usage = usage
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def standin(status: int = 200, usage: dict[str, int] | None = None) -> Iterator[Standin]:
    with Standin(status, usage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Standin

    def do_GET(self) -> None:
        self._send(200, "application/json", b'{"data": [{"id": "standin"}]}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(json.loads(body))
        self.server.keys.append(self.headers["authorization"])
        if self.server.status != 200:
            refusal = json.dumps({"error": {"message": "no such thing"}}).encode()
            self._send(self.server.status, "application/json", refusal)
            return
        self._send(200, "text/event-stream", self._events())

    def _events(self) -> bytes:
        deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": piece} for piece in PIECES]
        chunks: list[dict[str, Any]] = [{"choices": [{"delta": delta}]} for delta in deltas]
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        if self.server.usage:
            chunks.append({"choices": [], "usage": self.server.usage})
        events = [json.dumps(chunk, ensure_ascii=False) for chunk in chunks] + ["[DONE]"]
        return "".join(f"data: {event}\n\n" for event in events).encode()

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""
