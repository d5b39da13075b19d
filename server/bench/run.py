"""From what was asked to a Report: servers side by side first, then the engine.

The engine gets prompts as long as those that our server counted.
"""

import asyncio
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from models import loader, random_weights
from models.backends import BackendError, select
from models.base import CheckpointError, Model
from models.checkpoint import open_checkpoint
from server import __version__
from server.bench import engine
from server.bench.client import Client
from server.bench.drive import Gathered, Say, drive
from server.bench.process import Running, running
from server.bench.report import (
    Answers,
    BenchError,
    Decode,
    EngineFigures,
    Machine,
    Measured,
    Plan,
    Prefill,
    Report,
    ServerFigures,
    Spread,
)
from server.hub import HubError, find

OWN_NAME = "rwkv-server"


@dataclass(frozen=True, slots=True)
class Target:
    """The checkpoint that is measured, and how it is loaded: as the settings of those names."""

    id: str
    path: Path
    random_weights: bool
    tokenizer: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Against:
    """Another server; model: empty for the first it lists."""

    url: str
    model: str = ""
    key: str | None = None


@contextmanager
def checkpoint(model: str | None, shape: str | None, say: Say) -> Iterator[tuple[str, Path, bool]]:
    """(id, path, random weights) of what was named, made up first if a shape was. BenchError."""
    try:
        if shape is None:
            found = find(model or "gosling")
            yield found.id, loader.find_checkpoint(found.path), False
            return
        with TemporaryDirectory(prefix="rwkv-server-") as folder:
            say(f"making random weights of the {shape} size")
            path = Path(folder) / f"{shape}.safetensors"
            yield shape, random_weights.write(random_weights.SIZES[shape], path), True
    except (HubError, CheckpointError) as error:
        raise BenchError(str(error)) from error


def measure(target: Target | None, plan: Plan, against: Against | None, say: Say) -> Report:
    """Raises BenchError."""
    if target is None:
        servers = tuple(_side_by_side(None, plan, against, say))
        return Report(__version__, machine(), plan, None, None, servers)
    _check(target)
    own, *others = _side_by_side(target, plan, against, say)
    model, figures = _alone(target, plan, own.decode, say)
    own = replace(own, decode=_shares(own.decode, figures))
    return Report(__version__, machine(), plan, model, figures, (own, *others))


def load(target: Target, dtype: str, say: Say) -> Model:
    """Raises BenchError."""
    say(f"loading {target.id} as {dtype}")
    try:
        return loader.load(target.path, select(target.device, target.threads), dtype)
    except (BackendError, CheckpointError) as error:
        raise BenchError(str(error)) from error


def _check(target: Target) -> None:
    """Raises BenchError for what is not there, before a server is started in another folder."""
    try:
        select(target.device, target.threads)
        open_checkpoint(target.path)
    except (BackendError, CheckpointError) as error:
        raise BenchError(str(error)) from error


def machine() -> Machine:
    return Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        system=platform.platform(terse=True),
        python=platform.python_version(),
        torch=version("torch"),
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    named = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return named[0] if named else platform.processor() or platform.machine()


def _shares(served: Sequence[Answers], alone: EngineFigures) -> tuple[Answers, ...]:
    return tuple(
        replace(
            it,
            engine_share=_share(it.tokens_per_s, whole.tokens_per_s),
            writing_share=_share(it.writing_per_s, decode.tokens_per_s),
        )
        for it, whole, decode in zip(served, alone.answers, alone.decode, strict=True)
    )


def _share(speed: Spread | None, of: Spread) -> float | None:
    return None if speed is None else speed.median / of.median


def _alone(
    target: Target, plan: Plan, served: Sequence[Answers], say: Say
) -> tuple[Measured, EngineFigures]:
    """The engine's figures; the model is gone from memory when it returns."""
    start = time.perf_counter()
    model = load(target, target.dtype, say)
    load_s = time.perf_counter() - start
    try:
        return _facts(target, model), _engine(model, load_s, plan, served, say)
    finally:
        del model
        gc.collect()


def _facts(target: Target, model: Model) -> Measured:
    spec = model.spec
    return Measured(
        id=target.id,
        generation=spec.generation,
        parameters=spec.parameters,
        layers=spec.layers,
        width=spec.width,
        vocab_size=spec.vocab_size,
        dtype=loader.format_name(model.dtype),
        device=str(model.device),
        random_weights=target.random_weights,
    )


def _engine(
    model: Model, load_s: float, plan: Plan, served: Sequence[Answers], say: Say
) -> EngineFigures:
    decoded, sampled, answered, prefilled = [], [], [], []
    tokens, rounds = plan.answer_tokens, plan.rounds
    for streams, length in ((it.streams, it.prompt_tokens or engine.PROMPT) for it in served):
        say(f"the engine alone, {streams} streams")
        greedy = engine.decode(model, streams, tokens, rounds, engine.GREEDY)
        decoded.append(Decode(streams, greedy))
        drawn = engine.decode(model, streams, tokens, rounds, engine.SAMPLED)
        sampled.append(Decode(streams, drawn))
        answers = engine.answers(model, streams, length, tokens, rounds)
        answered.append(Answers(streams, answers, length, 0))
    for length in plan.prefill:
        say(f"the engine alone, a prompt of {length:,} tokens")
        prefilled.append(Prefill(length, engine.prefill(model, length, rounds)))
    state_bytes = model.new_state(1).nbytes
    return EngineFigures(
        load_s, state_bytes, tuple(decoded), tuple(sampled), tuple(answered), tuple(prefilled)
    )


def _side_by_side(
    target: Target | None, plan: Plan, against: Against | None, say: Say
) -> Iterator[ServerFigures]:
    others = [_client(against)] if against else []
    if target is None:
        yield from (_figures(*it) for it in zip(others, _drive(others, plan, say), strict=True))
        return
    say(f"starting a server for {target.id}")
    with running(_settings(target, plan)) as own:
        say(f"{OWN_NAME} listens on {own.url}")
        clients = [Client(OWN_NAME, own.url), *others]
        loaded = own.resident_bytes()
        gathered = _drive(clients, plan, say)
        yield _figures(clients[0], gathered[0], own, loaded)
        yield from (_figures(*it) for it in zip(others, gathered[1:], strict=True))


def _client(other: Against) -> Client:
    return Client(other.url, other.url, other.key, other.model)


def _settings(target: Target, plan: Plan) -> dict[str, Mapping[str, str | int]]:
    model: dict[str, str | int] = {"path": str(target.path.absolute()), "id": target.id}
    model |= {"device": target.device, "dtype": target.dtype, "threads": target.threads}
    if target.tokenizer:
        model["tokenizer"] = target.tokenizer
    return {
        "model": model,
        # Made-up weights repeat themselves, which text seldom does.
        "engine": {"max_slots": max(32, *plan.streams), "speculation": "off"},
    }


def _drive(clients: Sequence[Client], plan: Plan, say: Say) -> list[Gathered]:
    async def work() -> list[Gathered]:
        async with AsyncExitStack() as stack:
            for client in clients:
                await stack.enter_async_context(client)
            return await drive(clients, plan, say)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Of the leanest loop there is; None for asyncio's own, on Windows."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


def _figures(
    client: Client, found: Gathered, own: Running | None = None, loaded: int | None = None
) -> ServerFigures:
    return ServerFigures(
        name=client.name,
        url=client.url,
        model=client.model,
        start_s=own.start_s if own else None,
        loaded_bytes=loaded,
        worked_bytes=own.resident_bytes() if own else None,
        decode=found.decode(),
        turns=found.turns(),
        long=found.long(),
    )
