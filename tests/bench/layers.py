"""What each layer of a server costs: the engine alone, the chat service without HTTP, a server.

    python -m tests.bench.layers CHECKPOINT --dtype int8 --tokens 96 --rounds 5

All do the work of tests/bench/beside_engine.py, in turn: 32 streams at once, and 32 that ask again
and again. The engine and the chat service, which keeps conversations as the server does, are in
this process. Prints, in shares of the engine's tokens a second, the medians of the rounds and their
range of

service   what the chat service makes
http      what the server makes
API       what it makes less than the chat service, which is what the API layer costs
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import uvloop

from models import loader
from models.backends import select
from server.app import build
from server.bench.client import Client
from server.bench.process import disk, running
from server.bench.talk import long_questions
from server.chat.service import ChatService
from server.chat.types import ChoiceEnd, Message, SamplingOptions, TextDelta, TurnRequest
from server.config.sources import load
from tests.bench.beside_engine import Lengths, ask, engine_spans, mixed, spread
from tests.bench.spans import Span, steady, whole, writing

STREAMS = 32
TURN_S = 1e-4  # as a server sets it

Work = Callable[[Lengths], Awaitable[list[Span]]]
Speeds = dict[str, float]  # tokens a second, by the way of counting


async def ask_service(service: ChatService, lengths: Lengths) -> list[Span]:
    """What ask() asks a server."""
    spans: list[Span] = []

    async def one(asker: int) -> None:
        questions = long_questions(len(lengths[asker]))
        for tokens, question in zip(lengths[asker], questions, strict=True):
            spans.append(await _answer(service, asker, question, tokens))

    await asyncio.gather(*map(one, range(len(lengths))))
    return spans


async def _answer(service: ChatService, asker: int, question: str, most: int) -> Span:
    asked, first, last, tokens = time.perf_counter(), 0.0, 0.0, 0
    greedy = SamplingOptions(temperature=0)
    message = (Message("user", question),)
    turn = await service.start(TurnRequest("", message, max_tokens=most, sampling=greedy))
    async for event in turn.events():
        if isinstance(event, TextDelta):
            last = time.perf_counter()
            first = first or last
        elif isinstance(event, ChoiceEnd):
            tokens = event.tokens
    return Span(asker, asked, first, last, time.perf_counter(), tokens)


async def speeds(work: Work, tokens: int) -> Speeds:
    at_once = await work([[tokens]] * STREAMS)
    in_turn = await work(mixed(STREAMS, tokens))
    return {
        "prompts and all": whole(at_once),
        "once they write": writing(at_once),
        "in turn": steady(in_turn),
    }


def table(rounds: Sequence[dict[str, Speeds]]) -> str:
    lines = []
    for way in rounds[0]["engine"]:
        shares = {
            layer: [one[layer][way] / one["engine"][way] for one in rounds]
            for layer in ("service", "http")
        }
        both = zip(shares["service"], shares["http"], strict=True)
        shares["API"] = [service - http for service, http in both]
        them = ", ".join(f"{name} {spread(values)}" for name, values in shares.items())
        lines.append(f"{way}: {them}")
    return "\n".join(lines)


async def run(options: argparse.Namespace) -> None:
    tables = {
        "model": {"path": str(options.checkpoint.absolute()), "dtype": options.dtype},
        "engine": {"speculation": "off"},
        "sessions": {"archive": not options.memory_only},
    }
    model = loader.load(options.checkpoint, select("cpu", 0), options.dtype)
    with tempfile.TemporaryDirectory(dir=disk()) as kept, running(tables) as server:
        settings = {f"{name}.{key}": v for name, them in tables.items() for key, v in them.items()}
        app = build(load(overrides={**settings, "sessions.data_dir": kept}))
        async with app.running(), Client("it", server.url) as client:
            prompt = (await ask(client, [[1]]))[1]

            async def engine(lengths: Lengths) -> list[Span]:
                return engine_spans(model, prompt, lengths)

            async def http(lengths: Lengths) -> list[Span]:
                return (await ask(client, lengths))[0]

            layers = {"engine": engine, "service": partial(ask_service, app.service), "http": http}
            sys.setswitchinterval(TURN_S)
            for work in layers.values():
                await work([[8]] * STREAMS)
            rounds = []
            for number in range(options.rounds):
                order = list(layers)[:: -1 if number % 2 else 1]
                rounds.append({it: await speeds(layers[it], options.tokens) for it in order})
    print(table(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--memory-only", action="store_true", help="keeps no states on the disk")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(options))


if __name__ == "__main__":
    main()
