"""Prefill beside the int8 products of oneDNN alone: `python -m tests.bench.int8_peak CHECKPOINT`.

What a processor multiplies at best is not written on it: clocks, caches and neighbours change it.
So the peak here is what oneDNN reaches, as torch calls it, with weights packed beforehand and 8-bit
activations: for the matrices of all blocks and the same tokens, one product after another, and
nothing else. Prefill has those products, and all the rest of the model. Both are measured in turn;
prints both in tokens per second and the median share of each format.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from models.checkpoint import open_checkpoint
from tests.bench.llama_cpp.ours import Ours

FORMATS = ("int8", "w8a8")
MATRICES = ("receptance", "key", "value", "gate", "output")


class Products:
    """Of every large matrix of the blocks, by `tokens` tokens."""

    def __init__(self, checkpoint: Path, tokens: int) -> None:
        self._tokens = tokens
        self._packed: list[tuple[Tensor, Tensor, Tensor]] = []
        self._inputs: dict[int, Tensor] = {}
        for name, outline in open_checkpoint(checkpoint).tensors.items():
            if name.startswith("blocks.") and name.endswith(tuple(f"{m}.weight" for m in MATRICES)):
                self._add(*outline.shape)

    def _add(self, rows: int, inputs: int) -> None:
        weights = torch.randint(-127, 128, (rows, inputs), dtype=torch.int8)
        packed = torch.ops.onednn.qlinear_prepack(weights, [self._tokens, inputs])
        scales, zeros = torch.full((rows,), 0.01), torch.zeros(rows, dtype=torch.long)
        self._packed.append((packed, scales, zeros))
        if inputs not in self._inputs:
            self._inputs[inputs] = torch.randint(0, 256, (self._tokens, inputs), dtype=torch.uint8)

    def tokens_per_s(self) -> float:
        start = time.perf_counter()
        for packed, scales, zeros in self._packed:
            torch.ops.onednn.qlinear_pointwise(
                self._inputs[packed.shape[0]], 0.01, 128, packed, scales, zeros,
                None, 1.0, 0, torch.float32, "none", [], "",
            )  # fmt: skip
        return self._tokens / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    products, ours = Products(given.checkpoint, given.tokens), Ours(given.checkpoint, given.threads)
    peaks: list[float] = []
    found: dict[str, list[float]] = {name: [] for name in FORMATS}
    for number in range(given.rounds + 1):  # the first is not counted
        peak = products.tokens_per_s()
        measured = {name: ours.prefill(name, given.tokens) for name in FORMATS}
        if number:
            peaks.append(peak)
            for name, value in measured.items():
                found[name].append(value)
    print(f"products alone: {_spread(peaks)} tokens/s")
    for name, values in found.items():
        shares = [value / peak for value, peak in zip(values, peaks, strict=True)]
        print(f"prefill in {name}: {_spread(values)} tokens/s, {statistics.median(shares):.2f}")


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


if __name__ == "__main__":
    main()
