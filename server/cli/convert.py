"""`rwkv-server convert`: a checkpoint of any layout as one safetensors file."""

from pathlib import Path
from typing import Annotated

import typer

from server import __version__
from server import log as logs
from server.cli import options
from server.cli.progress import working

Source = Annotated[Path, typer.Argument(metavar="IN", help="Checkpoint file or folder.")]
Target = Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="File to write.")]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bf16 or fp16 (default: as stored; float32 for quantised files)."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")]


def convert(source: Source, target: Target, dtype: Dtype = None, force: Force = False) -> None:
    """Write a checkpoint as safetensors with official names and a fingerprint of its source."""
    # torch is behind these, and takes seconds that a wrong flag should not cost.
    from models.base import CheckpointError
    from models.convert import DTYPES
    from models.convert import convert as write

    if dtype is not None and dtype not in DTYPES:
        options.fail(f"--dtype is {dtype}: choose {', '.join(DTYPES)}.")
    logs.configure()
    tool = f"rwkv-server {__version__}"
    try:
        with working("converting", str(source)) as progress:
            write(source, target, dtype, tool=tool, replace=force, progress=progress)
    except CheckpointError as error:
        options.fail(str(error))
    typer.echo(target)
