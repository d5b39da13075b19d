"""Run by itself: the reference author's `rwkv` package over checkpoints, on the CPU in float32.

Usage: reference_worker.py JOB RESULT. JOB is JSON: {"files": […], "tokens": […], "greedy": n}.
RESULT is written by torch.save: for every file the logits after every token [T,V] and the n
greedy tokens that follow. Whether the package computes RWKV-7 or its ancestors is decided by
RWKV_V7_ON when it is imported, so that one process can compute only one of them. It begins with
the initial state that a checkpoint holds, but in RWKV-7, where it has to be handed over.
"""

import gc
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

torch.set_num_threads(1)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from rwkv.model import RWKV  # type: ignore[import-untyped]


def compute(file: str, tokens: list[int], greedy: int) -> tuple[Tensor, list[int]]:
    model: Any = RWKV(model=file.removesuffix(".pth"), strategy="cpu fp32")
    rows, state = [], initial_state(model, file)
    for token in tokens:
        out, state = model.forward([token], state)
        rows.append(out.clone().float())
    chosen: list[int] = []
    for _ in range(greedy):
        chosen.append(int(out.argmax()))
        out, state = model.forward([chosen[-1]], state)
    return torch.stack(rows), chosen


def initial_state(model: Any, file: str) -> list[Tensor] | None:
    """The state to begin with, where the package does not find it by itself."""
    tensors = torch.load(file, weights_only=True)
    if "blocks.0.att.time_state" not in tensors or "blocks.0.att.r_k" not in tensors:
        return None
    state: list[Tensor] = model.generate_zero_state()
    for i in range(len(state) // 3):
        state[3 * i + 1] = tensors[f"blocks.{i}.att.time_state"].float()
    return state


def main(job_path: str, result_path: str) -> None:
    gc.freeze()  # the package collects garbage with every tensor, and torch is much to look at
    job = json.loads(Path(job_path).read_text(encoding="utf-8"))
    torch.save([compute(file, job["tokens"], job["greedy"]) for file in job["files"]], result_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
