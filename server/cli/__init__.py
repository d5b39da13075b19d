"""The command `rwkv-server`."""

import signal
from types import FrameType
from typing import Annotated, NoReturn

import typer

from server import __version__
from server.cli import bench, options, sessions
from server.cli.chat import chat
from server.cli.config import config
from server.cli.convert import convert
from server.cli.inspect import inspect
from server.cli.models import models
from server.cli.pull import pull
from server.cli.serve import serve

app = typer.Typer(
    name="rwkv-server",
    help="A local, private chat server for RWKV models with an OpenAI-compatible REST API.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("serve")(options.with_settings(serve))
app.command("chat")(chat)
app.command("pull")(pull)
app.command("models")(models)
app.command("inspect")(inspect)
app.command("convert")(convert)
app.add_typer(sessions.app, name="sessions", help="The kept conversations of a running server.")
app.add_typer(bench.app, name="bench")
app.command("config")(options.with_settings(config))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rwkv-server {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line of this process, which SIGTERM ends, as the first of a container too."""
    signal.signal(signal.SIGTERM, _terminated)
    app()


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    """As a shell tells it. The first process of a container ignores what it does not handle."""
    del frame
    raise SystemExit(128 + number)
