"""A chat in a terminal, with a server or without one."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from typer.testing import CliRunner, Result

from server.app import build
from server.chat.types import Message, TurnRequest
from server.cli import app
from server.cli.conversation import Wishes
from server.cli.local import LocalSpeaker
from tests.server.cli.running import assert_one_sentence, serving
from tests.server.tiny import settings


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
        speaker = LocalSpeaker(built, Wishes(seed=5))  # a long answer on every processor
        async with aclosing(speaker.reply(question)) as reply:
            heard = await anext(reply)
        assert built.catalogue.in_flight == 0
        said = Message("assistant", heard)
        follow_up = TurnRequest("terminal", (*question, said, *question), max_tokens=1)
        turn = await built.service.start(follow_up)
        assert turn.cached_tokens > 3
        assert [event async for event in turn.events()]


def test_a_chat_without_a_server_is_one_sentence(invoke: Callable[..., Result]) -> None:
    assert_one_sentence(invoke("chat", "--url", "http://127.0.0.1:9"), "127.0.0.1:9")


def test_a_chat_is_either_here_or_there(invoke: Callable[..., Result]) -> None:
    result = invoke("chat", "--url", "http://127.0.0.1:9", "--model", "x.pth")
    assert_one_sentence(result, "--url", "--model")
