"""`rwkv-server chat`: talk to a model in the terminal."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console

from server import log as logs
from server.cli import options
from server.cli.conversation import ChatError, Conversation, Speaker, Wishes
from server.cli.progress import loading
from server.cli.remote import RemoteSpeaker
from server.cli.terminal import Terminal
from server.config import Settings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


# A command's flags are its function's parameters.
def chat(  # noqa: PLR0913, PLR0917
    url: Annotated[
        str | None, typer.Option(help="Server to talk to (default: the configured address).")
    ] = None,
    model: options.ModelPath = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, max=2)] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Makes answers repeatable.")] = None,
    tokenizer: options.Tokenizer = None,
    template: options.Template = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    api_key: options.ApiKeys = None,
    config_file: options.ConfigFile = None,
) -> None:
    """Chat in the terminal, with a running server or, given --model, in this process."""
    if url and model:
        options.fail("give --url for a running server or --model for this process, not both.")
    overrides = {
        "server.api_keys": api_key,
        "model.path": model,
        "model.tokenizer": tokenizer,
        "model.template": template,
        "model.device": device,
        "model.dtype": dtype,
    }
    settings = options.settings(config_file, overrides)
    wishes = Wishes(temperature, top_p, max_tokens, seed)
    talk(settings, url, wishes, Conversation(system), in_process=model is not None)


def talk(
    settings: Settings,
    url: str | None,
    wishes: Wishes,
    conversation: Conversation,
    *,
    in_process: bool,
) -> None:
    """Chat until the person leaves."""
    logs.configure("warning", settings.log.format)
    with asyncio.Runner() as runner:
        speaker = (
            _local(settings, wishes, runner)
            if in_process
            else _remote(settings, url, wishes, runner)
        )
        with speaker as someone:
            Terminal(someone, conversation, Console()).run(runner)


@contextmanager
def _remote(
    settings: Settings, url: str | None, wishes: Wishes, runner: asyncio.Runner
) -> Iterator[Speaker]:
    keys = settings.server.api_keys
    speaker = RemoteSpeaker(url or address(settings), keys[0] if keys else None, wishes)
    try:
        runner.run(speaker.open())
        yield speaker
    except ChatError as error:
        options.fail(str(error))
    finally:
        runner.run(speaker.close())


def address(settings: Settings) -> str:
    """Where a server with these settings can be reached from here."""
    host = _EVERYWHERE.get(settings.server.host, settings.server.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.server.port}"


@contextmanager
def _local(settings: Settings, wishes: Wishes, runner: asyncio.Runner) -> Iterator[Speaker]:
    # torch is behind these, and a chat with a running server needs none.
    from server.app import StartError, build
    from server.cli.local import LocalSpeaker

    alone = replace(settings, models=(), adapters=())
    try:
        with loading(settings.model.path) as progress:
            app = build(alone, progress)
    except StartError as error:
        options.fail(str(error))
    running = app.running()
    runner.run(running.__aenter__())
    try:
        yield LocalSpeaker(app, wishes)
    finally:
        runner.run(running.__aexit__(None, None, None))
