"""A server as a command: what it refuses, what it warns of, and how it ends."""

import gc
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import uvicorn
from typer.testing import Result

from server.app import build
from server.cli import server as server_module
from server.cli.serve import bind
from server.cli.server import Server
from tests.server import tiny
from tests.server.cli.running import assert_one_sentence, serving


def test_a_wrong_model_is_one_sentence(invoke: Callable[..., Result]) -> None:
    result = invoke("serve", "--port", "0", "--model", "nowhere.pth", "--device", "cpu")
    assert_one_sentence(result, "nowhere.pth")


def test_a_taken_port_is_one_sentence_before_the_model_is_loaded(
    invoke: Callable[..., Result],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = invoke("serve", "--port", port, "--model", "nowhere.pth")
    assert_one_sentence(result, port, "in use")


def test_an_address_of_others_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("serve", "--host", "192.0.2.1"), "192.0.2.1")


def test_an_open_address_without_keys_is_warned_of(
    invoke: Callable[..., Result], caplog: pytest.LogCaptureFixture
) -> None:
    invoke("serve", "--host", "0.0.0.0", "--port", "0", "--model", "nowhere.pth")
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.name for record in warnings] == ["server.cli.serve"]
    assert "server.api_keys" in warnings[0].getMessage()


@pytest.mark.parametrize(
    "arguments", [("--host", "0.0.0.0", "--api-key", "k"), ("--host", "localhost")]
)
def test_a_closed_address_is_not_warned_of(
    invoke: Callable[..., Result], caplog: pytest.LogCaptureFixture, arguments: tuple[str, ...]
) -> None:
    invoke("serve", "--port", "0", "--model", "nowhere.pth", *arguments)
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_garbage_is_not_looked_for_in_what_a_server_begins_with(
    path: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = []
    monkeypatch.setattr(Server, "run", lambda server: watched.append(len(gc.get_objects())))
    gc.unfreeze()  # as in a process of its own
    before = len(gc.get_objects())
    invoke("serve", "--model", str(path), "--port", "0")
    assert watched[0] < before / 10


def test_threads_of_a_server_take_short_turns(
    path: Path, invoke: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, usual = [], sys.getswitchinterval()
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_: taken.append(sys.getswitchinterval()))
    invoke("serve", "--model", str(path), "--port", "0")
    assert 0 < taken[0] < usual / 10
    assert sys.getswitchinterval() == usual


def test_a_server_answers_once_it_says_that_it_listens(path: Path) -> None:
    with serving(path) as (_, url):
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}


def body(max_tokens: int = 10**9) -> dict[str, object]:
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "max_tokens": max_tokens,
        "logit_bias": {"0": -100},
    }


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_with_an_error_and_the_process_with_0(
    path: Path, number: signal.Signals
) -> None:
    with serving(path) as (process, url):
        address = f"{url}/v1/chat/completions"
        with httpx.stream("POST", address, json=body(), timeout=20) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(number)
            last = [line for line in lines if line][-1]
        assert "stopping" in json.loads(last.removeprefix("data: "))["error"]["message"]
        assert process.wait(timeout=10) == 0


def test_a_client_that_reads_nothing_is_cut_off_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("GRACE_S", "_CUT_S"):
        monkeypatch.setattr(server_module, name, 0.5)
    app = build(tiny.settings(path))
    with bind(app.settings.server) as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server = Server(app, listener)
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        client.connect(listener.getsockname())
        client.sendall(request(json.dumps(body()).encode()))
        while not any(
            connection.flow.write_paused for connection in server.server_state.connections
        ):
            time.sleep(0.01)
        server.should_exit = True
        thread.join(timeout=8)
        ended = not thread.is_alive()
        client.close()
        thread.join()
    assert ended
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def request(content: bytes) -> bytes:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}"
    )
    return f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + content
