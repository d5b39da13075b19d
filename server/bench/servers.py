"""The figures of servers that are driven side by side: one started here, and another."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from server.bench.client import Client
from server.bench.drive import Gathered, Say, drive
from server.bench.process import Running, running
from server.bench.report import Plan, ServerFigures
from server.bench.target import Target

OWN_NAME = "rwkv-server"


@dataclass(frozen=True, slots=True)
class Against:
    """Another server; model: empty for the first it lists."""

    url: str
    model: str = ""
    key: str | None = None


def side_by_side(
    target: Target | None, plan: Plan, against: Against | None, say: Say
) -> Iterator[ServerFigures]:
    """Of the target's server first, where there is one. Raises BenchError."""
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
