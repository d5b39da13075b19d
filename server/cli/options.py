"""Flags that several commands share, and the settings they make."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from server.config import ConfigError, Settings, load

Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")]
ModelPath = Annotated[
    str | None,
    typer.Option("--model", help="Path of a checkpoint, or name of a bundled or pulled one."),
]
Tokenizer = Annotated[str | None, typer.Option(help="Tokenizer or vocabulary file.")]
Template = Annotated[str | None, typer.Option(help="Chat template: a name or a .jinja file.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu or cuda.")]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bf16, fp16, int8, w8a8 or int4.")]
ApiKeys = Annotated[
    list[str] | None,
    typer.Option("--api-key", help="Bearer key that is let in; may be given several times."),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=PATH",
        help="Adapter to serve beside its model, as MODEL:NAME; may be given several times.",
    ),
]
DataDir = Annotated[str | None, typer.Option(help="Folder for kept conversations.")]
LogLevel = Annotated[str | None, typer.Option(help="debug, info, warning or error.")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Configuration file (default: ./config.toml).")
]


def with_settings(action: Callable[[Settings], None]) -> Callable[..., None]:
    """A command with a flag for every setting that has one; `action` gets the settings."""

    # A command's flags are its function's parameters.
    def command(  # noqa: PLR0913, PLR0917
        host: Host = None,
        port: Port = None,
        model: ModelPath = None,
        tokenizer: Tokenizer = None,
        template: Template = None,
        adapter: Adapters = None,
        device: Device = None,
        dtype: Dtype = None,
        api_key: ApiKeys = None,
        data_dir: DataDir = None,
        log_level: LogLevel = None,
        config_file: ConfigFile = None,
    ) -> None:
        overrides = {
            "server.host": host,
            "server.port": port,
            "server.api_keys": api_key,
            "model.path": model,
            "model.tokenizer": tokenizer,
            "model.template": template,
            "adapters": adapter,
            "model.device": device,
            "model.dtype": dtype,
            "sessions.data_dir": data_dir,
            "log.level": log_level,
        }
        action(settings(config_file, overrides))

    command.__doc__ = action.__doc__
    return command


def settings(config_file: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """The effective configuration; ends the process with one sentence if there is none."""
    try:
        return load(config_file, env=os.environ, overrides=overrides)
    except ConfigError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """End the process with exit code 2 and one sentence on standard error."""
    typer.echo(f"rwkv-server: {message}", err=True)
    raise typer.Exit(2)
