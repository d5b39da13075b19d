"""`rwkv-server bench`: how fast this server is, beside another one if wanted."""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from server import log as logs
from server.bench import plot as picture
from server.bench import tables
from server.bench.report import LEAST_TURNS, BenchError, Plan
from server.cli import options

if TYPE_CHECKING:  # torch is behind it
    from server.bench.target import Target

app = typer.Typer(invoke_without_command=True)

_SHAPES = "0.1b, 0.4b, 1.5b, 2.9b or 7.2b, or rwkv4-, rwkv5- or rwkv6- and one of these"
_WIDTH = 120  # columns, where no terminal sets a width

Shape = Annotated[
    str | None, typer.Option(help=f"Random weights of an official size of RWKV-7: {_SHAPES}.")
]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0 is the server's default.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


# A command's flags are its function's parameters.
@app.callback()
def bench(  # noqa: PLR0913, PLR0917
    context: typer.Context,
    model: options.ModelPath = None,
    shape: Shape = None,
    tokenizer: options.Tokenizer = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: Threads = 0,
    against: Annotated[
        str | None, typer.Option(help="URL of another OpenAI-compatible server to measure too.")
    ] = None,
    against_model: Annotated[
        str, typer.Option(help="Model of that server (default: the first it lists).")
    ] = "",
    api_key: Annotated[
        str | None, typer.Option("--api-key", help="Bearer key of that server.")
    ] = None,
    only_against: Annotated[
        bool, typer.Option("--only-against", help="Measure that server alone.")
    ] = False,
    streams: Annotated[str, typer.Option(help="Answers at the same time.")] = "1,8,32",
    prefill: Annotated[str, typer.Option(help="Tokens of the engine's prompts.")] = "512,2048",
    history: Annotated[str, typer.Option(help="Tokens of the histories.")] = "0.1k,1k,4k",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer that is timed.")] = 64,
    others: Annotated[
        int, typer.Option(min=0, help="Conversations between leaving one and coming back.")
    ] = 100,
    turns: Annotated[int, typer.Option(help="Turns of a long conversation; 0 leaves it out.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that medians are taken of.")] = 3,
    as_json: AsJson = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw first tokens by history.")
    ] = None,
) -> None:
    """Measure speed, memory, and the wait for the first token of a turn.

    Of the bundled model, a checkpoint, or random weights of an official size; beside another
    server, if one is given. What is configured for `serve` has no part in it.
    """
    if context.invoked_subcommand:
        return
    if turns and turns < LEAST_TURNS:
        options.fail(f"--turns is {turns}: give 0 or at least {LEAST_TURNS}.")
    if only_against and not against:
        options.fail("--only-against needs --against with the URL of a server.")
    if only_against and (model or shape):
        options.fail("--only-against measures no model of this server: leave --model and --shape.")
    plan = Plan(
        _counts("--streams", streams),
        _counts("--prefill", prefill),
        _counts("--history", history),
        tokens,
        others,
        turns,
        rounds,
    )
    logs.configure("warning")
    with _progress() as say, _one_sentence(), _orderly_end():
        if plot:
            picture.check(plot)
        from server.bench.run import measure
        from server.bench.servers import Against

        other = Against(against, against_model, api_key) if against else None
        if only_against:
            report = measure(None, plan, other, say)
        else:
            with _target(model, shape, tokenizer, device, say) as target:
                chosen = replace(target, dtype=_format(dtype), threads=threads)
                report = measure(chosen, plan, other, say)
        if plot:
            picture.plot(report.servers, plot)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        tables.show(report, _console())


@app.command("quality")
def quality(  # noqa: PLR0913, PLR0917
    model: options.ModelPath = None,
    shape: Shape = None,
    text: Annotated[
        Path | None, typer.Option(help="Text to predict (default: dialogues of our own).")
    ] = None,
    tokenizer: options.Tokenizer = None,
    device: options.Device = "auto",
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="Number format; may be given several times (default: float32, bf16 and fp16)."
        ),
    ] = None,
    threads: Threads = 0,
    tokens: Annotated[int, typer.Option(min=2, help="Most tokens of the text to use.")] = 4096,
    as_json: AsJson = False,
) -> None:
    """Measure what each number format costs: perplexity, and how far it is from float32."""
    logs.configure("warning")
    with _progress() as say, _one_sentence():
        from server.bench.quality import EVERYWHERE, measure

        formats = [_format(name, "auto") for name in dtype or EVERYWHERE]
        with _target(model, shape, tokenizer, device, say) as target:
            report = measure(replace(target, threads=threads), formats, text, tokens, say)
    if as_json:
        typer.echo(json.dumps(asdict(report), indent=2))
    else:
        tables.show_quality(report, _console())


@app.command("constraints")
def constraints(
    tokens: Annotated[int, typer.Option(min=100, help="Tokens of each kind.")] = 2000,
    as_json: AsJson = False,
) -> None:
    """Measure what constraints cost: grammars, and masks of World's 65,536 tokens."""
    from server.bench.masks import measure

    figures = measure(tokens)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in figures], indent=2))
    else:
        tables.show_masks(figures, _console())


@contextmanager
def _target(
    model: str | None,
    shape: str | None,
    tokenizer: str | None,
    device: str | None,
    say: Callable[[str], None],
) -> Iterator["Target"]:
    from models.random_weights import SIZES
    from server.bench.target import Target, checkpoint

    if model and shape:
        options.fail("give --model for a checkpoint or --shape for random weights, not both.")
    if shape is not None and shape not in SIZES:
        options.fail(f"--shape is {shape}: choose {_SHAPES}.")
    if tokenizer and Path(tokenizer).exists():
        tokenizer = str(Path(tokenizer).absolute())  # the server runs in a folder of its own
    with checkpoint(model, shape, say) as (name, path, is_random):
        yield Target(name, path, is_random, tokenizer, device or "auto")


def _format(name: str | None, *refused: str) -> str:
    from server.bench.quality import FORMATS

    known = [it for it in ("auto", *FORMATS) if it not in refused]
    if name not in known:
        options.fail(f"--dtype is {name}: choose {', '.join(known)}.")
    return name


def _counts(flag: str, text: str) -> tuple[int, ...]:
    """Whole numbers above 0 from a list such as 100,0.5k,64k."""
    found = [re.fullmatch(r"(\d+(?:\.\d+)?)(k?)", part.strip()) for part in text.split(",")]
    counts = [round(float(it[1]) * (1000 if it[2] else 1)) for it in found if it]
    if len(counts) < len(found) or min(counts) < 1:
        options.fail(f"{flag} is {text}: give numbers above 0 with commas, such as 100,4k.")
    return tuple(dict.fromkeys(counts))


@contextmanager
def _one_sentence() -> Iterator[None]:
    try:
        yield
    except BenchError as error:
        options.fail(str(error))


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Told to terminate, the command ends its server and deletes its files first."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What to call with what is being done: a status line at a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda what: typer.echo(f"bench: {what}", err=True)
        return
    with console.status("starting") as status:
        yield status.update


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH)
