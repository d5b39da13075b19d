"""What a training run is to be, from the options of its command line and its checkpoints."""

import argparse
import socket
from dataclasses import dataclass
from pathlib import Path

import torch

from models.gosling.checkpoint import Checkpoint, checkpoints, load_checkpoint
from models.gosling.network import Sizes
from models.gosling.schedule import Schedule
from models.gosling.tokenizer import load_tokenizer


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything the processes of a run must agree on."""

    out: Path
    sizes: Sizes
    schedule: Schedule
    seed: int
    processes: int
    rows: int
    length: int
    compiled: bool
    peak: float
    save_seconds: float
    probe_seconds: float
    checkpoint: Path | None
    begin: Path | None
    port: int


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description="Train the bundled model.")
    add = made.add_argument
    add("--out", type=Path, required=True, help="folder of the run")
    end = made.add_mutually_exclusive_group()
    end.add_argument("--minutes", type=float, help="length of the whole run (default 95)")
    end.add_argument("--tokens", type=float, help="length of the whole run in tokens")
    end.add_argument("--decay-minutes", type=float, help="end the run, decaying from now on")
    add("--decay-from", type=float, default=1.0, help="the rate --decay-minutes starts at, 0..1")
    add("--decay-share", type=float, default=0.25, help="share of the run that decays")
    add("--peak", type=float, default=1.0, help="all rates are multiplied by it")
    add("--resume", action="store_true", help="go on from the newest checkpoint")
    add("--begin", type=Path, help="folder of the finished model a new run begins with")
    add("--export", action="store_true", help="only write the model of the newest checkpoint")
    add("--processes", type=int, default=2)
    add("--rows", type=int, default=1, help="rows of a batch, per process")
    add("--length", type=int, default=2048, help="tokens of a row")
    add("--width", type=int, default=128)
    add("--layers", type=int, default=6)
    add("--seed", type=int, default=1)
    add("--eager", action="store_true", help="without torch.compile")
    add("--save-minutes", type=float, default=3.0)
    add("--probe-minutes", type=float, default=5.0)
    return made


def planned(options: argparse.Namespace) -> Plan:
    """Of options as the parser gives them, once the folder has its tokenizer."""
    newest = newest_checkpoint(options.out) if options.resume else None
    entries = load_tokenizer(options.out / "tokenizer.json").get_vocab_size()
    sizes = Sizes(entries, width=options.width, layers=options.layers)
    cuda = torch.cuda.is_available()
    return Plan(
        out=options.out,
        sizes=newest[1].sizes if newest else sizes,
        schedule=_schedule(options, newest[1] if newest else None),
        seed=newest[1].seed if newest else options.seed,
        processes=1 if cuda else options.processes,
        rows=options.rows,
        length=options.length,
        compiled=not options.eager,
        peak=options.peak,
        save_seconds=60 * options.save_minutes,
        probe_seconds=60 * options.probe_minutes,
        checkpoint=newest[0] if newest else None,
        begin=options.begin,
        port=_free_port(),
    )


def newest_checkpoint(out: Path) -> tuple[Path, Checkpoint]:
    found = checkpoints(out)
    if not found:
        raise SystemExit(f"{out} holds no checkpoint; start without --resume")
    return found[-1], load_checkpoint(found[-1])


def _schedule(options: argparse.Namespace, resumed: Checkpoint | None) -> Schedule:
    if options.decay_minutes is not None:
        spent = resumed.progress.seconds if resumed else 0.0
        left = 60 * options.decay_minutes
        return Schedule("seconds", spent + left, left / options.decay_from)
    if options.tokens is not None:
        return Schedule("tokens", options.tokens, options.tokens * options.decay_share)
    if options.minutes is None and resumed:
        return resumed.schedule
    total = 60 * (95.0 if options.minutes is None else options.minutes)
    return Schedule("seconds", total, total * options.decay_share)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
