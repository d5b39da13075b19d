"""`make bench`: prints the tables of docs/benchmarks.md for one checkpoint.

Options: --model NAME_OR_PATH (default: the bundled model), --repeats N.
"""

import argparse
import statistics
from pathlib import Path

from openai import OpenAI
from rich.console import Console
from rich.table import Table

import models.gosling
from models import loader
from models.backends import select
from models.base import Model
from tests.bench import engine, latency
from tests.serving import server

console = Console()


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench")
    parser.add_argument("--model", default="gosling")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    path = models.gosling.PATH if options.model == "gosling" else Path(options.model)
    model = loader.load(path, select("auto"))
    show_sizes(model)
    show_speeds(model, options.repeats)
    show_latencies(options.model, options.repeats)


def show_sizes(model: Model) -> None:
    spec, state = model.spec, model.new_state(1)
    table = Table("parameters", "layers x width", "format", "bytes per kept conversation")
    kept = state.nbytes + 4 * spec.vocab_size
    shape = f"{spec.layers} x {spec.width}"
    table.add_row(f"{spec.parameters:,}", shape, str(model.dtype), f"{kept:,} + 4 per token")
    console.print(table)


def show_speeds(model: Model, repeats: int) -> None:
    table = Table("work", "tokens/s (median)", "range")
    for streams in (1, 8, 32):
        speed = engine.decode(model, streams, 64, repeats)
        add_speed(table, f"decode, {streams} streams", speed)
    for tokens in (512, 2048):
        add_speed(table, f"prefill, {tokens} tokens", engine.prefill(model, tokens, 256, repeats))
    console.print(table)


def add_speed(table: Table, name: str, speed: engine.Speed) -> None:
    table.add_row(name, f"{speed.median:,.0f}", f"{speed.low:,.0f} to {speed.high:,.0f}")


def show_latencies(model: str, repeats: int) -> None:
    table = Table("history (tokens)", "first turn", "follow-up", "regenerate", "edit")
    with server("--model", model) as url:
        client = latency.connect(url)
        name = client.models.list().data[0].id
        latency.measure(client, name, 15, 1)  # the first request pays for imports
        for words in (60, 600, 2_400, 9_600):
            row = latency.measure(client, name, words, repeats)
            times = (row.first, row.follow_up, row.regenerate, row.edit)
            table.add_row(f"{row.history:,}", *(f"{time:,.1f} ms" for time in times))
        console.print(table)
        show_turns(client, name, repeats)


def show_turns(client: OpenAI, model: str, repeats: int) -> None:
    """Turns 2 and 50 of the same conversations, each with the two turns beside it."""
    times = latency.by_turn(client, model, 51, repeats)
    early, late = statistics.median(times[1:4]), statistics.median(times[48:51])
    table = Table("turn 2", "turn 50", "ratio")
    table.add_row(f"{early:.1f} ms", f"{late:.1f} ms", f"{late / early:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
