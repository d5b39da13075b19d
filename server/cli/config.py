"""`rwkv-server config`: what is in effect, and where it comes from."""

import typer

from server.config import Settings, dump


def config(settings: Settings) -> None:
    """Print the effective configuration and its sources, keys masked."""
    typer.echo(dump(settings), nl=False)
