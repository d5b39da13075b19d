"""`rwkv-server models`: the checkpoints that are here."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from server.hub import Checkpoint, size_text, stored

_ENDLESS = 10_000  # columns, where no terminal sets a width: a path must stay whole


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="As JSON: name, repo, file, size_bytes, path.")
    ] = False,
) -> None:
    """List the models that are here: bundled ones, and checkpoints in the Hugging Face cache."""
    found = stored()
    if as_json:
        entries = [asdict(item) | {"path": str(item.path)} for item in found]
        typer.echo(json.dumps(entries, indent=2))
        return
    if not found:
        typer.echo("No model is here; `rwkv-server pull g1-1.5b` fetches one.", err=True)
        return
    console = Console()
    console = console if console.is_terminal else Console(width=_ENDLESS)
    console.print(_table(found))


def _table(found: list[Checkpoint]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("name", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("path", overflow="fold")
    for item in found:
        table.add_row(item.name, size_text(item.size_bytes), str(item.path))
    return table
