"""The reference author's `rwkv` package as an oracle for logits, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

WORKER = Path(__file__).with_name("reference_worker.py")


@dataclass(frozen=True, slots=True)
class Answer:
    """Logits [T,V] after every token, fed one at a time, and the greedy tokens that follow."""

    logits: Tensor
    greedy: list[int]


def ask(
    files: Sequence[Path], tokens: list[int], *, greedy: int = 0, seven: bool = False
) -> list[Answer]:
    """What the package computes for each `.pth` file; seven: they are all RWKV-7, or none is."""
    folder = files[0].parent
    job, result = folder / "job.json", folder / "result.pt"
    content = {"files": [str(file) for file in files], "tokens": tokens, "greedy": greedy}
    job.write_text(json.dumps(content), encoding="utf-8")
    switches = {"RWKV_V7_ON": str(int(seven)), "RWKV_JIT_ON": "0", "RWKV_CUDA_ON": "0"}
    command = [sys.executable, str(WORKER), str(job), str(result)]
    subprocess.run(command, env=os.environ | switches, check=True, capture_output=True)
    return [Answer(*answer) for answer in torch.load(result)]
