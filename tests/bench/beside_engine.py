"""What HTTP costs: a server and its engine alone, in turn.

    python -m tests.bench.beside_engine CHECKPOINT --dtype int8 --tokens 96 --rounds 5

`rwkv-server bench` measures the engine when the server has ended, so that a model is in memory
once; on a machine whose speed swings from minute to minute that says little of a tenth. Here both
are loaded, and every round has its own share. Prints their medians with the range, and what the
client took of the same processors, which is no cost of the server's.
"""

import argparse
import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

from models import loader
from models.backends import select
from models.base import Model
from server.bench import engine
from server.bench.client import Client, Speed
from server.bench.process import running
from server.bench.talk import long_questions

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Round:
    """served: over HTTP. answers, decode: of the engine alone, tokens a second.

    client: the share of the processors' time that asking and listening took.
    """

    served: Speed
    client: float
    answers: float
    decode: float


async def measure(client: Client, model: Model, streams: int, tokens: int, rounds: int) -> str:
    prompt = (await client.speed(long_questions(streams), 8)).prompt_tokens or engine.PROMPT
    found = []
    for number in range(rounds):
        early = alone(model, streams, prompt, tokens) if number % 2 else None
        began, used = time.perf_counter(), time.process_time()
        served = await client.speed(long_questions(streams), tokens)
        used = (time.process_time() - used) / (time.perf_counter() - began) / CORES
        found.append(Round(served, used, *(early or alone(model, streams, prompt, tokens))))
    whole = [it.served.tokens_per_s / it.answers for it in found]
    writing = [(it.served.writing_per_s or 0) / it.decode for it in found]
    speeds = [it.served.tokens_per_s for it in found]
    return (
        f"{streams} streams: {statistics.median(speeds):,.0f} tokens/s over HTTP; of the engine "
        f"{spread(whole)} with prompts and all, {spread(writing)} once they write; the client took "
        f"{statistics.median(it.client for it in found):.3f} of the processors"
    )


def alone(model: Model, streams: int, prompt: int, tokens: int) -> tuple[float, float]:
    """Of answers and of decode."""
    answers = engine.answers(model, streams, prompt, tokens, 1)
    return answers.median, engine.decode(model, streams, tokens, 1, engine.GREEDY).median


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


async def run(options: argparse.Namespace) -> None:
    model = loader.load(options.checkpoint, select("cpu", 0), options.dtype)
    # Made-up weights repeat themselves, which text seldom does.
    tables = {
        "model": {"path": str(options.checkpoint.absolute()), "dtype": options.dtype},
        "engine": {"speculation": "off"},
    }
    with running(tables) as server:
        async with Client("it", server.url) as client:
            for streams in map(int, options.streams.split(",")):
                work = (client, model, streams, options.tokens, options.rounds)
                print(await measure(*work), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
