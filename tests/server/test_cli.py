"""The commands, as a person at a terminal meets them."""

import asyncio
import gc
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from server import __version__
from server import log as logs
from server.app import build
from server.chat.types import Message, TurnRequest
from server.cli import app
from server.cli.conversation import ChatError, Conversation, Wishes
from server.cli.local import LocalSpeaker
from server.cli.progress import loading
from server.cli.remote import RemoteSpeaker
from server.cli.server import Server
from server.cli.terminal import Terminal
from tests.server.tiny import checkpoint, settings

ROOT = Path(__file__).parents[2]
LISTENING = re.compile(r"listening on (http://\S+)$")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command in this process, away from any configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    for name in list(os.environ):
        if name.startswith("RWKV_SERVER_"):
            monkeypatch.delenv(name)
    return lambda *arguments: CliRunner().invoke(app, arguments)


def assert_one_sentence(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("rwkv-server: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert all(word in result.stderr for word in words), result.stderr


@contextmanager
def serving(path: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server process and its URL; its further lines are read and dropped."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--model", str(path)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, *arguments], stderr=subprocess.PIPE, text=True, env=env, cwd=ROOT
    ) as process:
        assert process.stderr is not None
        try:
            found = (LISTENING.search(line.strip()) for line in process.stderr)
            url = next(match[1] for match in found if match)
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield process, url
        finally:
            process.kill()


def test_the_version_is_told(invoke: Callable[..., Result]) -> None:
    assert invoke("--version").stdout == f"rwkv-server {__version__}\n"


def test_help_lists_every_command(invoke: Callable[..., Result]) -> None:
    output = invoke("--help").stdout
    assert all(command in output for command in ("serve", "chat", "pull", "models", "config"))


def test_config_prints_what_is_in_effect_and_where_from(invoke: Callable[..., Result]) -> None:
    output = invoke("config", "--port", "9000", "--model", "x.pth").stdout
    assert "port = 9000  # flag --port\n" in output
    assert 'path = "x.pth"  # flag --model\n' in output
    assert 'host = "127.0.0.1"  # default\n' in output


def test_config_masks_keys(invoke: Callable[..., Result]) -> None:
    output = invoke("config", "--api-key", "secret-1", "--api-key", "secret-2").stdout
    assert "secret" not in output
    assert 'api_keys = ["***", "***"]' in output


def test_config_prints_adapters_of_flags(invoke: Callable[..., Result]) -> None:
    output = invoke("config", "--adapter", "a=a.pth", "--adapter", "b=b.pth").stdout
    assert output.count("[[adapters]]") == 2
    assert 'path = "b.pth"  # flag --adapter\n' in output


def test_a_bad_adapter_flag_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("serve", "--adapter", "a.pth"), "--adapter", "NAME=PATH")


@pytest.mark.parametrize("command", ["serve", "config", "chat"])
def test_a_bad_setting_is_one_sentence(invoke: Callable[..., Result], command: str) -> None:
    assert_one_sentence(invoke(command, "--device", "tpu"), "--device", "auto, cpu or cuda")


def test_a_missing_configuration_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("serve", "--config", "nowhere.toml"), "nowhere.toml")


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
    before = len(gc.get_objects())
    try:
        invoke("serve", "--model", str(path), "--port", "0")
    finally:
        gc.unfreeze()
    assert watched[0] < before / 10


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


def test_a_chat_with_a_server_streams_its_answer(path: Path, invoke: Callable[..., Result]) -> None:
    with serving(path, "--api-key", "k") as (_, url):
        arguments = ("chat", "--url", url, "--api-key", "k", "--max-tokens", "5")
        result = CliRunner().invoke(app, arguments, input="Hello\n/quit\n")
        refused = invoke("chat", "--url", url, "--api-key", "wrong")
    assert result.exit_code == 0, result.stderr
    assert f"tiny at {url}" in result.stdout
    assert_one_sentence(refused, "key")


def test_a_chat_in_this_process_needs_no_server(path: Path, invoke: Callable[..., Result]) -> None:
    arguments = ("chat", "--model", str(path), "--max-tokens", "5", "--device", "cpu")
    result = CliRunner().invoke(app, arguments, input="Hello\n/regenerate\n")
    assert result.exit_code == 0, result.stderr
    assert "tiny in this process" in result.stdout


def test_a_chat_in_this_process_needs_no_other_model(
    path: Path, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text('[[models]]\npath = "nowhere.pth"\n')
    assert invoke("chat", "--model", str(path), "--device", "cpu").exit_code == 0


async def test_an_answer_cut_short_in_this_process_leaves_its_state(path: Path) -> None:
    built = build(settings(path))
    question = [Message("user", "Hello")]
    async with built.running(), asyncio.timeout(20):
        speaker = LocalSpeaker(built, Wishes(seed=1))
        async with aclosing(speaker.reply(question)) as reply:
            heard = [await anext(reply) for _ in range(3)]
        assert built.catalogue.in_flight == 0
        said = Message("assistant", "".join(heard))
        follow_up = TurnRequest("terminal", (*question, said, *question), max_tokens=1)
        turn = await built.service.start(follow_up)
        assert turn.cached_tokens > 3
        assert [event async for event in turn.events()]


def test_a_chat_without_a_server_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("chat", "--url", "http://127.0.0.1:9"), "127.0.0.1:9")


def test_a_chat_is_either_here_or_there(invoke: Callable[..., Result]) -> None:
    result = invoke("chat", "--url", "http://127.0.0.1:9", "--model", "x.pth")
    assert_one_sentence(result, "--url", "--model")


class Echo:
    """Answers with the last message and how many there were; "stop" is interrupted half-way."""

    name = "echo"

    async def reply(self, messages: list[Message]) -> AsyncGenerator[str]:
        text = messages[-1].content
        if text == "fail":
            raise ChatError("it failed")
        yield f"{len(messages)}:"
        if text == "stop":
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(5)
        yield f"{text}\n"


def talk(*lines: str, system: str | None = None) -> tuple[str, Conversation]:
    """What is shown for the lines a person types, and the conversation after them."""
    remaining = iter(lines)
    conversation = Conversation(system)
    output = StringIO()

    def read(prompt: str) -> str:
        output.write(prompt)
        line = next(remaining, None)
        if line is None:
            raise EOFError
        return line

    with asyncio.Runner() as runner:
        Terminal(Echo(), conversation, Console(file=output), read).run(runner)
    return output.getvalue(), conversation


def contents(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages]


def test_answers_are_shown_and_remembered() -> None:
    output, conversation = talk("one", "two")
    assert "1:one" in output
    assert "3:two" in output
    assert contents(conversation) == ["one", "1:one\n", "two", "3:two\n"]


def test_the_system_message_stands_first_and_survives_a_reset() -> None:
    _, conversation = talk("one", "/reset", "two", system="Be kind.")
    assert contents(conversation) == ["Be kind.", "two", "2:two\n"]


def test_regenerate_answers_the_same_question_again() -> None:
    output, conversation = talk("one", "/regenerate")
    assert output.count("1:one") == 2
    assert contents(conversation) == ["one", "1:one\n"]


def test_there_is_nothing_to_regenerate_at_the_start() -> None:
    output, conversation = talk("/regenerate")
    assert "nothing" in output
    assert contents(conversation) == []


def test_ctrl_c_stops_the_answer_and_keeps_what_there_is() -> None:
    output, conversation = talk("stop", "one")
    assert "(stopped)" in output
    assert contents(conversation) == ["stop", "1:", "one", "3:one\n"]


def test_a_question_without_an_answer_is_forgotten() -> None:
    output, conversation = talk("fail", "one")
    assert "it failed" in output
    assert contents(conversation) == ["one", "1:one\n"]


def test_quit_leaves_and_other_commands_explain() -> None:
    output, conversation = talk("/what", "/quit", "one")
    assert output.count("/regenerate") == 2
    assert contents(conversation) == []


def test_markup_in_an_answer_is_only_text() -> None:
    output, _ = talk("[bold]x[/bold]")
    assert "[bold]x[/bold]" in output


def replies(*frames: bytes, status: int = 200) -> list[str]:
    """What a remote speaker makes of a response that arrives in these pieces."""

    async def pieces() -> AsyncGenerator[bytes]:
        for frame in frames:
            yield frame

    async def collect() -> list[str]:
        transport = httpx.MockTransport(lambda _: httpx.Response(status, content=pieces()))
        speaker = RemoteSpeaker("http://test/v1/", None, Wishes(), transport)
        try:
            return [text async for text in speaker.reply([Message("user", "Hi")])]
        finally:
            await speaker.close()

    return asyncio.run(collect())


def chunk(text: str, ensure_ascii: bool = True) -> bytes:
    data = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return f"data: {json.dumps(data, ensure_ascii=ensure_ascii)}\n\n".encode()


def test_frames_may_arrive_in_any_pieces() -> None:
    data = chunk("Hé\u2028", ensure_ascii=False) + b": ping\r\n\r\n" + chunk("llo")
    data += b"data: [DONE]\n\n"
    assert replies(*(data[i : i + 1] for i in range(len(data)))) == ["Hé\u2028", "llo"]


def test_an_error_frame_is_the_reason() -> None:
    with pytest.raises(ChatError, match="it broke"):
        replies(chunk("Hel"), b'data: {"error":{"message":"it broke"}}\n\n')


@pytest.mark.parametrize(
    "content", [b'{"error":{"message":"no"}}', b"<html>", b"[]", b'{"error":1}']
)
def test_a_refusal_is_one_sentence_whatever_it_looks_like(content: bytes) -> None:
    with pytest.raises(ChatError, match=r"no|status 400"):
        replies(content, status=400)


def test_slow_loading_is_logged_now_and_then_without_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 2.5, 3.0, 5.0])
    monkeypatch.setattr("server.cli.progress.time.monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, logger="server"), loading("x") as report:
        for done in (10, 25, 30, 50):
            report(done, 100)
    assert caplog.messages == ["loading x: 25 %", "loading x: 50 %"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["config"], ["models"]])
def test_commands_that_compute_nothing_start_without_torch(
    arguments: list[str], tmp_path: Path
) -> None:
    program = (
        "import sys; from server.cli import app; app(sys.argv[1:], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, b"")
    assert found.stdout
