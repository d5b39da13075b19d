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
import sys
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from models.gosling.batches import Batches
from models.gosling.checkpoint import Progress, begin, export, load_checkpoint
from models.gosling.dialogues import Split, dialogue
from models.gosling.initial import initialise
from models.gosling.loop import Loop, Setting
from models.gosling.network import Network
from models.gosling.optimizer import Optimizer, Rates
from models.gosling.plan import Plan, newest_checkpoint, parser, planned
from models.gosling.probe import Probe
from models.gosling.render import Segment, segments
from models.gosling.tokenizer import load_tokenizer, save_tokenizer, train_tokenizer

log = logging.getLogger("gosling")
TOKENIZER_DIALOGUES = 20_000
PROBE_DIALOGUES = 500
MALLOC_TRIM, MALLOC_TOP, MALLOC_MMAP = -1, -2, -3


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    options = parser().parse_args()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    if options.export:
        _export_newest(out)
        return
    _ensure_tokenizer(out / "tokenizer.json", options)
    plan = planned(options)
    log.info("%s", plan)
    _run(plan)


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
    checkpoint = newest_checkpoint(out)[1]
    network = Network(checkpoint.sizes)
    Optimizer(network, Rates()).load(checkpoint.tensors)
    export(network, checkpoint.progress, out / "model.safetensors")
    log.info("wrote %s", out / "model.safetensors")


if __name__ == "__main__":
    main()
