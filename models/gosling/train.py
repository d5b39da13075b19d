"""Trains the bundled model: `python -m models.gosling.train --out DIR`.

Makes its dialogues as it goes, trains a tokenizer first where DIR has none, and writes into DIR:
tokenizer.json, train.jsonl (one JSON object a line: progress, and now and then exact answers per
ability), the last two checkpoints, and at the end model.safetensors. Interrupt it (Ctrl-C or
SIGTERM) at any time; `--resume` goes on from the newest checkpoint. While the learning rate is
constant, `--resume --decay-minutes D` ends the run in D minutes from there; `--decay-from R`
lowers the rate to R of the base at once. `--begin DIR --peak R` trains a finished model further,
with its tokenizer, at no more than R of the base rate.
"""

import argparse
import ctypes
import logging
import random
import shutil
import signal
import socket
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from models.gosling.batches import Batches
from models.gosling.checkpoint import (
    Checkpoint,
    Progress,
    begin,
    checkpoints,
    export,
    load_checkpoint,
)
from models.gosling.dialogues import Split, dialogue
from models.gosling.initial import initialise
from models.gosling.loop import Loop, Setting
from models.gosling.network import Network, Sizes
from models.gosling.optimizer import Optimizer, Rates
from models.gosling.probe import Probe
from models.gosling.render import Segment, segments
from models.gosling.schedule import Schedule
from models.gosling.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

log = logging.getLogger("gosling")
TOKENIZER_DIALOGUES = 20_000
PROBE_DIALOGUES = 500
MALLOC_TRIM, MALLOC_TOP, MALLOC_MMAP = -1, -2, -3


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


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    options = _parser().parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if options.export:
        _export_newest(out)
        return
    _ensure_tokenizer(out / "tokenizer.json", options)
    plan = _plan(options)
    log.info("%s", plan)
    _run(plan)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the run")
    end = parser.add_mutually_exclusive_group()
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
    return parser


def _ensure_tokenizer(path: Path, options: argparse.Namespace) -> None:
    if path.exists():
        return
    if options.begin:
        shutil.copyfile(options.begin / path.name, path)
        return
    log.info("training a tokenizer on %d dialogues", TOKENIZER_DIALOGUES)
    rng = random.Random(f"{options.seed}/tokenizer")
    texts = (segment.text for _ in range(TOKENIZER_DIALOGUES) for segment in _source(rng))
    save_tokenizer(train_tokenizer(texts), path)


def _source(rng: random.Random) -> list[Segment]:
    return segments(dialogue(rng, Split.TRAIN))


def _plan(options: argparse.Namespace) -> Plan:
    newest = _newest(options.out) if options.resume else None
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


def _newest(out: Path) -> tuple[Path, Checkpoint]:
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


def _run(plan: Plan) -> None:
    others = [
        mp.get_context("spawn").Process(target=_process, args=(rank, plan), daemon=True)
        for rank in range(1, plan.processes)
    ]
    for other in others:
        other.start()
    _process(0, plan)
    for other in others:
        other.join()


def _process(rank: int, plan: Plan) -> None:
    _keep_memory()
    if plan.processes > 1:
        torch.set_num_threads(1)
        address = f"tcp://127.0.0.1:{plan.port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=plan.processes)
    loop = _loop(rank, plan)

    def stop(*_: object) -> None:
        loop.stop = True

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    loop.run()
    if plan.processes > 1:
        dist.destroy_process_group()


def _loop(rank: int, plan: Plan) -> Loop:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = load_tokenizer(plan.out / "tokenizer.json")
    network = Network(plan.sizes)
    initialise(network, plan.seed)
    if plan.begin:
        begin(network, plan.begin / "model.safetensors")
    network.to(device)
    rates = Rates()
    optimizer = Optimizer(
        network, replace(rates, muon=plan.peak * rates.muon, adam=plan.peak * rates.adam)
    )
    progress = Progress()
    if plan.checkpoint:
        checkpoint = load_checkpoint(plan.checkpoint)
        optimizer.load(checkpoint.tensors)
        progress = checkpoint.progress
    batches = Batches(_source, tokenizer, plan.rows, plan.length, plan.seed, rank)
    rng = random.Random("probe")
    held = [dialogue(rng, Split.HELD_VALUES) for _ in range(PROBE_DIALOGUES if rank == 0 else 0)]
    probe = Probe(held, tokenizer) if held else None
    setting = Setting(
        plan.out,
        plan.seed,
        rank,
        plan.processes,
        plan.compiled,
        plan.save_seconds,
        plan.probe_seconds,
    )
    return Loop(setting, network, optimizer, batches, plan.schedule, progress, probe)


def _keep_memory() -> None:
    """Lets glibc keep freed blocks: giving each activation back and faulting it in anew costs a
    fifth of the time."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for option, value in (
            (MALLOC_MMAP, 1 << 25),
            (MALLOC_TRIM, 2**31 - 1),
            (MALLOC_TOP, 1 << 27),
        ):
            libc.mallopt(option, value)


def _export_newest(out: Path) -> None:
    checkpoint = _newest(out)[1]
    network = Network(checkpoint.sizes)
    Optimizer(network, Rates()).load(checkpoint.tensors)
    export(network, checkpoint.progress, out / "model.safetensors")
    log.info("wrote %s", out / "model.safetensors")


if __name__ == "__main__":
    main()
