"""`rwkv-server inspect`: what a checkpoint is, and what serving it would take."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from server.cli import options
from server.hub import HubError, find, size_text

if TYPE_CHECKING:  # torch is behind it
    from models.summary import Summary

Path_ = Annotated[
    str, typer.Argument(metavar="PATH", help="Checkpoint file, folder, or name of a pulled model.")
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, with sizes in bytes.")]
_SHORT = 16  # hex digits of a fingerprint that tell checkpoints apart


def inspect(path: Path_, as_json: AsJson = False) -> None:
    """Say what a checkpoint is, or why it is refused (exit code 2), without loading it."""
    from models.base import CheckpointError
    from models.summary import summarise

    try:
        facts = _facts(summarise(find(path).path))
    except (CheckpointError, HubError) as error:
        if as_json:
            typer.echo(json.dumps({"path": path, "refused": str(error)}, indent=2))
            raise typer.Exit(2) from None
        options.fail(str(error))
    typer.echo(json.dumps(facts, indent=2) if as_json else _text(facts))


def _facts(summary: "Summary") -> dict[str, Any]:
    spec = summary.spec
    return {
        "path": str(summary.path),
        "layout": summary.layout,
        "container": summary.container,
        "generation": spec.generation,
        "layers": spec.layers,
        "width": spec.width,
        "heads": spec.heads,
        "head_size": spec.head_size,
        "ffn_width": spec.ffn_width,
        "vocab_size": spec.vocab_size,
        "parameters": spec.parameters,
        "number_formats": summary.number_formats,
        "fingerprint": spec.fingerprint[:_SHORT],
        "tokenizer": _tokenizer(summary.path, spec.vocab_size),
        "template": _template(spec.generation, spec.vocab_size),
        "weights_bytes": summary.weights_bytes,
        "state_bytes": summary.state_bytes,
    }


def _tokenizer(checkpoint: Path, vocab_size: int) -> str:
    """Its name, or the sentence that says why there is none."""
    from models.tokenizer import TokenizerError, beside, load

    try:
        return load(beside(checkpoint), vocab_size).name
    except TokenizerError as error:
        return f"none: {error}"


def _template(generation: str, vocab_size: int) -> str:
    from server.chat.template import find_template

    return find_template("auto", generation, vocab_size).name


def _text(facts: Mapping[str, Any]) -> str:
    formats, total = facts["number_formats"], facts["parameters"]
    shares = (f"{name} {100 * count / total:.3g} %" for name, count in formats.items())
    lines = {
        "path": facts["path"],
        "layout": f"{facts['layout']}, {facts['container']}",
        "generation": f"RWKV-{facts['generation']}",
        "layers": facts["layers"],
        "width": facts["width"],
        "heads": f"{facts['heads']:,} × {facts['head_size']}",
        "channel-mix width": facts["ffn_width"],
        "vocabulary": f"{facts['vocab_size']:,}",
        "parameters": f"{total:,}",
        "number formats": ", ".join(shares) if len(formats) > 1 else next(iter(formats)),
        "fingerprint": facts["fingerprint"],
        "tokenizer": facts["tokenizer"],
        "template": facts["template"],
        "memory for weights": _sizes(facts["weights_bytes"]),
        "state per conversation": _sizes(facts["state_bytes"]),
    }
    width = max(map(len, lines)) + 2
    return "\n".join(f"{name:<{width}}{value}" for name, value in lines.items())


def _sizes(by_dtype: Mapping[str, int]) -> str:
    return ", ".join(f"{size_text(size)} as {dtype}" for dtype, size in by_dtype.items())
