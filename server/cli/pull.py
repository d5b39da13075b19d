"""`rwkv-server pull`: fetch a checkpoint from the hub."""

import os
from typing import Annotated

import typer

from server import log as logs
from server.cli import options
from server.cli.progress import working
from server.hub import HubError, Reference, SeveralCheckpoints, parse, size_text

Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="OWNER/REPOSITORY:FILE, OWNER/REPOSITORY if it holds one checkpoint, or a short name "
        "of the official G1 line, such as g1-1.5b for its newest model of that size.",
    ),
]


def pull(name: Name) -> None:
    """Fetch a checkpoint from Hugging Face, or check the one that is here.

    It goes into the Hugging Face cache and is served by the same name.
    A download that was stopped continues where it ended.
    HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are honoured.
    """
    reference = parse(name)
    if reference is None:
        options.fail(f"{name} is neither OWNER/REPOSITORY, OWNER/REPOSITORY:FILE nor a short name.")
    logs.configure()
    try:
        typer.echo(_fetch(reference))
    except SeveralCheckpoints as error:
        for file, size in error.files.items():
            typer.echo(f"{size_text(size):>10}  {file}")
        options.fail(str(error))
    except HubError as error:
        options.fail(str(error))
    except KeyboardInterrupt:
        typer.echo("rwkv-server: stopped; the same command continues.", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"Serve it with: rwkv-server serve --model {name}", err=True)


def _fetch(reference: Reference) -> str:
    # The hub learns what is asked for, and nothing else of this machine.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from server.hub.download import pull as fetch

    return str(fetch(reference, working))
