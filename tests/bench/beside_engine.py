"""What HTTP costs: a server and its engine alone, in turn.

    python -m tests.bench.beside_engine CHECKPOINT --dtype int8 --tokens 96 --rounds 5

`rwkv-server bench` measures the engine when the server has ended, so that a model is in memory
once; on a machine whose speed swings from minute to minute that says little of a tenth. Here both
are loaded, do the same work, and every round has its own share. Prints the medians of

prompts and all   answers that are asked for at once, from the first question to the last end
once they write   the same answers from the first text of each to its last
in turn           as many askers, each of whom asks again when it has its answer, of lengths between
                  half and one and a half times as many tokens: while all are at it

with their range, and what the client took of the same processors, which is no cost of the server's.
"""

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from models import loader
from models.backends import select
from models.base import Model
from server.bench import engine
from server.bench.client import Client
from server.bench.process import running
from server.bench.talk import long_questions
from server.bench.wire import Reply
from server.engine.engine import Engine
from server.engine.messages import Branch, Finished, Submit, TokenSampled
from tests.bench.spans import Span, steady, whole, writing

CORES = os.cpu_count() or 1
TURNS = 4  # of each asker, when they ask in turn
IDS = 250  # that every model has, from 1 on

Lengths = Sequence[Sequence[int]]  # of the answers of each asker
Rate = Callable[[Sequence[Span]], float]


@dataclass(frozen=True)
class Round:
    """client: the share of the processors' time that asking and listening took."""

    served: list[Span]
    alone: list[Span]
    client: float

    def share(self, rate: Rate) -> float:
        return rate(self.served) / rate(self.alone)


async def measure(client: Client, model: Model, lengths: Lengths, early: bool) -> Round:
    """early: the engine alone comes first."""
    prompt = (await ask(client, [[1]]))[1]
    alone = engine_spans(model, prompt, lengths) if early else None
    began, used = time.perf_counter(), time.process_time()
    served, _ = await ask(client, lengths)
    used = (time.process_time() - used) / (time.perf_counter() - began) / CORES
    return Round(served, alone or engine_spans(model, prompt, lengths), used)


async def ask(client: Client, lengths: Lengths) -> tuple[list[Span], int]:
    """Also the tokens of a prompt. What came is looked into when all has."""

    async def one(asker: int) -> list[Reply]:
        found = []
        for tokens, question in zip(
            lengths[asker], long_questions(len(lengths[asker])), strict=True
        ):
            found.append(await client.send([{"role": "user", "content": question}], tokens))
        return found

    replies = await asyncio.gather(*map(one, range(len(lengths))))
    answers = [(asker, it, client.read(it)) for asker, them in enumerate(replies) for it in them]
    spans = []
    for asker, reply, answer in answers:
        first, last = (reply.sent + ms / 1000 for ms in (answer.first_ms, answer.last_ms))
        spans.append(Span(asker, reply.sent, first, last, reply.ended, answer.tokens))
    return spans, answers[0][2].prompt_tokens or engine.PROMPT


def engine_spans(model: Model, prompt: int, lengths: Lengths) -> list[Span]:
    """The same work, with prompts that have nothing in common."""
    askers = [_Asker(number, prompt, those) for number, those in enumerate(lengths)]
    alone = Engine(model, max_slots=len(askers), prefill_chunk=engine.CHUNK)
    for asker in askers:
        asker.ask(alone)
    while not alone.idle:
        events = alone.step()
        moment = time.perf_counter()
        for event in events:
            asker = askers[int(event.request)]
            if isinstance(event, TokenSampled):
                asker.moments.append(moment)
            elif isinstance(event, Finished):
                asker.end(moment)
                asker.ask(alone)
    return [span for asker in askers for span in asker.spans]


class _Asker:
    """moments: of the tokens of its latest answer."""

    def __init__(self, number: int, prompt: int, lengths: Sequence[int]) -> None:
        self._number = number
        self._prompt = prompt
        self._lengths = list(lengths)
        self._asked = 0.0
        self.moments: list[float] = []
        self.spans: list[Span] = []

    def ask(self, alone: Engine) -> None:
        """The next question, if there is one."""
        if len(self.spans) == len(self._lengths):
            return
        begin = 977 * self._number + 91 * len(self.spans)
        ids = tuple((begin + k) % IDS + 1 for k in range(self._prompt))
        branch = Branch(engine.GREEDY, engine.NeverStops())
        tokens = self._lengths[len(self.spans)]
        self._asked, self.moments = time.perf_counter(), []
        alone.submit(Submit(str(self._number), None, (ids,), (branch,), tokens, frozenset()))

    def end(self, moment: float) -> None:
        tokens = self._lengths[len(self.spans)]
        first, last = self.moments[0], self.moments[-1]
        self.spans.append(Span(self._number, self._asked, first, last, moment, tokens))


async def compare(client: Client, model: Model, streams: int, tokens: int, rounds: int) -> str:
    at_once, in_turn = [], []
    for number in range(rounds):
        at_once.append(await measure(client, model, [[tokens]] * streams, bool(number % 2)))
        in_turn.append(await measure(client, model, mixed(streams, tokens), bool(number % 2)))
    speeds = [steady(it.served) for it in in_turn]
    return (
        f"{streams} streams: {statistics.median(speeds):,.0f} tokens/s over HTTP; of the engine "
        f"{spread([it.share(whole) for it in at_once])} with prompts and all, "
        f"{spread([it.share(writing) for it in at_once])} once they write, "
        f"{spread([it.share(steady) for it in in_turn])} in turn; the client took "
        f"{statistics.median(it.client for it in in_turn):.3f} of the processors"
    )


def mixed(streams: int, tokens: int) -> Lengths:
    """Of answers that do not end together; the same in every run."""
    draw = random.Random(streams)
    return [
        [draw.randint(tokens // 2, tokens * 3 // 2) for _ in range(TURNS)] for _ in range(streams)
    ]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


async def run(options: argparse.Namespace) -> None:
    model = loader.load(options.checkpoint, select("cpu", 0), options.dtype)
    # Made-up weights repeat themselves, which text seldom does.
    tables = {
        "model": {"path": str(options.checkpoint.absolute()), "dtype": options.dtype},
        "engine": {"speculation": "off"},
    }
    if options.memory_only:
        tables["sessions"] = {"archive": False}
    with running(tables) as server:
        async with Client("it", server.url) as client:
            for streams in map(int, options.streams.split(",")):
                work = (client, model, streams, options.tokens, options.rounds)
                print(await compare(*work), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--memory-only", action="store_true", help="keeps no states on the disk")
    parser.add_argument("--streams", default="1,8,32")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
