"""The whole comparison: every part of every size in turn, and the table of what came of it.

`python -m tests.bench.llama_cpp.table FOLDER --llama BUILD/bin --save figures.jsonl` measures what
weights.py wrote to FOLDER, adds a line for each part to the file, and prints Markdown of the latest
lines; without --llama it only prints. --under: a command that others are run behind, such as one
that keeps them from disturbing each other.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.llama_cpp.part import PARTS, PROMPTS, SERVED, STREAMS

Figures = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: `theirs` are alternatives, of which the fastest counts.

    limit: what ours is a share of; where it is `bandwidth`, times the bytes a token reads.
    """

    part: str
    name: str
    ours: str
    theirs: tuple[str, ...]
    wanted: float
    limit: str = ""
    wanted_share: float = 0


_TIMES = {8: 3.5, 32: 4.0}
_HTTP_TIMES = {1: 1.8, 8: 3.0, 32: 3.5}
_PREFILL_TIMES = {"w8a8": 3.0, "int8": 2.2}
ROWS = (
    Row("decode", "decode, 1 stream, int8", "int8", ("q8_0",), 2, "bandwidth", 0.95),
    Row("decode", "decode, 1 stream, int4", "int4", ("q4_0", "q4_0-q8_0"), 2, "bandwidth", 0.9),
    *(
        Row("streams", f"decode, {n} streams, int8", f"int8 {n}", (f"q8_0 {n}",), _TIMES[n])
        for n in STREAMS
    ),
    *(
        Row("prefill", f"prefill {n:,}, {dtype}", f"{dtype} {n}", (f"q8_0 {n}",), times)
        for dtype, times in _PREFILL_TIMES.items()
        for n in PROMPTS
    ),
    *(
        Row(
            "http",
            f"over HTTP, {n} stream{'s' * (n > 1)}, int8",
            f"http {n}",
            (f"their http {n}",),
            _HTTP_TIMES[n],
            f"engine {n}",
            0.9,
        )
        for n in SERVED
    ),
)


def measure(given: argparse.Namespace) -> None:
    for shape in given.shapes.split(","):
        for part in given.parts.split(","):
            print(f"{shape}: {part}", file=sys.stderr)
            module = [sys.executable, "-m", "tests.bench.llama_cpp.part"]
            what = [part, given.folder / shape, "--llama", given.llama]
            how = ["--threads", str(given.threads), "--rounds", str(given.rounds)]
            command = [*shlex.split(given.under), *module, *what, *how]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            with given.save.open("a", encoding="utf-8") as file:
                file.write(done.stdout)


def latest(lines: Sequence[str], threads: int) -> dict[tuple[str, str], dict[str, Any]]:
    """The last document of each size and part."""
    found = [json.loads(line) for line in lines]
    return {(it["shape"], it["part"]): it for it in found if it["threads"] == threads}


def table(documents: dict[tuple[str, str], dict[str, Any]], shape: str) -> Iterator[str]:
    yield f"| {shape} | rwkv-server | llama.cpp | times | wanted | of the limit | wanted |"
    yield "|---|---|---|---|---|---|---|"
    for row in ROWS:
        if document := documents.get((shape, row.part)):
            yield _line(row, document)


def _line(row: Row, document: dict[str, Any]) -> str:
    rounds: list[dict[str, float]] = document["rounds"]
    figures = {name: [it[name] for it in rounds] for name in rounds[0]}
    best = max(row.theirs, key=lambda name: statistics.median(figures[name]))
    times = _ratios(figures[row.ours], figures[best])
    cells = [row.name, _spread(figures[row.ours]), _spread(figures[best])]
    cells += [f"{times:.2f} ×", f"≥ {row.wanted:g} ×{_mark(times, row.wanted)}"]
    if row.limit:
        per_token = document["bytes"][row.ours] if row.limit == "bandwidth" else 1
        share = _ratios(figures[row.ours], figures[row.limit]) * per_token
        cells += [f"{share:.2f}", f"≥ {row.wanted_share:g}{_mark(share, row.wanted_share)}"]
    else:
        cells += ["", ""]
    return f"| {' | '.join(cells)} |"


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' own ratios, since a slow minute falls on both."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}–{max(values):,.0f})"


def _mark(value: float, wanted: float) -> str:
    return " ✓" if value >= wanted else " ✗"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where weights.py wrote to")
    parser.add_argument("--llama", type=Path, help="folder of llama.cpp's tools")
    parser.add_argument("--save", type=Path, required=True, help="file of figures, added to")
    parser.add_argument("--shapes", default="0.1b,0.4b")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--under", default="", help="command to run each part behind")
    given = parser.parse_args()
    if given.llama:
        measure(given)
    documents = latest(given.save.read_text(encoding="utf-8").splitlines(), given.threads)
    for shape in given.shapes.split(","):
        print("\n".join(table(documents, shape)), end="\n\n")


if __name__ == "__main__":
    main()
