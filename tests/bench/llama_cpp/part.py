"""One part of the table for one size: rounds in which both programs do the same in turn.

Prints one JSON document: `bytes` of weights that a token reads, and for each round the tokens per
second of everything that was measured, `bandwidth` in bytes per second among them.
"""

import argparse
import asyncio
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from server.bench.client import Client
from server.bench.process import running
from server.bench.talk import fresh_name
from tests.bench.llama_cpp.ours import Ours
from tests.bench.llama_cpp.theirs import Theirs

PARTS = ("decode", "streams", "prefill", "http")
PROMPT = 16
DECODED = 128  # tokens of a single stream
ANSWER = 64  # tokens of each of several, and over HTTP
STREAMS = (8, 32)
SERVED = (1, 8, 32)
PROMPTS = (512, 2048)

Figures = Sequence[float]
Step = tuple[Sequence[str], Callable[[], Figures]]
"""The names of what is measured together, and how."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Everything that is compared, for one size."""

    stem: Path
    ours: Ours
    theirs: Theirs

    def gguf(self, kind: str) -> Path:
        return Path(f"{self.stem}-{kind}.gguf")

    @contextmanager
    def steps(self, part: str) -> Iterator[list[Step]]:
        if part == "http":
            with self._http() as steps:
                yield steps
        else:
            yield {"decode": self._decode, "streams": self._streams, "prefill": self._prefill}[
                part
            ]()

    def _decode(self) -> list[Step]:
        def own(dtype: str) -> Step:
            return [dtype], lambda: [self.ours.decode(dtype, 1, PROMPT, DECODED)]

        def other(kind: str) -> Step:
            return [kind], lambda: [self.theirs.decode(self.gguf(kind), DECODED)]

        read = bandwidth(self.ours.threads, 1000)
        others = [other("q8_0"), own("int4"), other("q4_0"), other("q4_0-q8_0")]
        return [(["bandwidth"], read), own("int8"), *others]

    def _streams(self) -> list[Step]:
        def own(count: int) -> Step:
            return [f"int8 {count}"], lambda: [self.ours.decode("int8", count, PROMPT, ANSWER)]

        names = [f"q8_0 {count}" for count in STREAMS]
        model = self.gguf("q8_0")
        return [
            *map(own, STREAMS),
            (names, lambda: self.theirs.streams(model, STREAMS, PROMPT, ANSWER)),
        ]

    def _prefill(self) -> list[Step]:
        def own(dtype: str, count: int) -> Step:
            return [f"{dtype} {count}"], lambda: [self.ours.prefill(dtype, count)]

        names = [f"q8_0 {count}" for count in PROMPTS]
        return [
            *(own(dtype, count) for dtype in ("int8", "w8a8") for count in PROMPTS),
            (names, lambda: self.theirs.prefill(self.gguf("q8_0"), PROMPTS)),
        ]

    @contextmanager
    def _http(self) -> Iterator[list[Step]]:
        path, threads = str(self.ours.checkpoint.absolute()), self.ours.threads
        slots = max(SERVED)
        settings: dict[str, dict[str, str | int]] = {
            "model": {"path": path, "id": "ours", "dtype": "int8", "threads": threads},
            "engine": {"max_slots": slots, "speculation": "off"},
        }
        with running(settings) as own, self.theirs.serving(self.gguf("q8_0"), slots) as other:
            length = prompt_tokens(own.url)
            served(own.url, 1), served(other, 1)
            yield [step for count in SERVED for step in self._served(own.url, other, count, length)]

    def _served(self, own: str, other: str, count: int, length: int) -> list[Step]:
        alone = [length] * count
        return [
            ([f"engine {count}"], lambda: [self.ours.answers("int8", alone, ANSWER)]),
            ([f"http {count}"], lambda: [served(own, count)]),
            ([f"their http {count}"], lambda: [served(other, count)]),
        ]


def served(url: str, count: int) -> float:
    """Tokens per second of so many answers asked for at once, to prompts never seen before."""

    async def ask() -> float:
        async with Client(url, url) as client:
            speed = await client.speed([question() for _ in range(count)], ANSWER)
            return speed.tokens_per_s

    return asyncio.run(ask())


def prompt_tokens(url: str) -> int:
    async def ask() -> int:
        async with Client(url, url) as client:
            answer = await client.ask([{"role": "user", "content": question()}], 1)
            return answer.prompt_tokens or PROMPT

    return asyncio.run(ask())


def question() -> str:
    return f"{fresh_name()}: who walks along the river bank in the morning?"


def bandwidth(threads: int, megabytes: int) -> Callable[[], Figures]:
    """Bytes per second that threads read of memory; compiled here, for this processor."""
    source = Path(__file__).with_name("bandwidth.c")
    program = Path(tempfile.mkdtemp(prefix="rwkv-server-")) / "bandwidth"
    flags = ["-O3", "-march=native", "-pthread"]
    subprocess.run(["cc", *flags, str(source), "-o", str(program)], check=True)

    def measure() -> Figures:
        command = [str(program), str(megabytes), str(threads)]
        return [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)]

    return measure


def rounds(steps: Sequence[Step], count: int) -> list[dict[str, float]]:
    """Every other one backwards, so that nothing always has the same before it.

    One more is measured first, and left out.
    """
    found = []
    for number in range(count + 1):
        figures: dict[str, float] = {}
        for names, measure in steps if number % 2 else reversed(steps):
            figures |= dict(zip(names, measure(), strict=True))
        found.append(figures)
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("stem", type=Path, help="folder and size, such as weights/0.1b")
    parser.add_argument("--llama", type=Path, required=True, help="folder of llama.cpp's tools")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ours = Ours(Path(f"{given.stem}.safetensors"), given.threads)
    bench = Bench(given.stem, ours, Theirs(given.llama, given.threads))
    with bench.steps(given.part) as steps:
        figures = rounds(steps, given.rounds)
    read = {dtype: ours.bytes_read(dtype) for dtype in ("int8", "int4") if given.part == "decode"}
    about = {"shape": given.stem.name, "part": given.part, "threads": given.threads}
    print(json.dumps({**about, "bytes": read, "rounds": figures}))


if __name__ == "__main__":
    main()
