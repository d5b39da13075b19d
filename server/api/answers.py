"""An answer under way, whole or streamed: what begins it, and what ends it early."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Protocol, TypeVar

from fastapi import Request

from server.api.context import Context
from server.api.errors import RETRY_AFTER_S, Stopping
from server.api.priority import is_inside
from server.api.streams import PING_S, EventStream, while_connected
from server.chat.service import ChatService

SCHEMAS = "#/components/schemas/"

T = TypeVar("T")
E_co = TypeVar("E_co", covariant=True)
E = TypeVar("E")


def streamed(event: str) -> dict[int | str, dict[str, Any]]:
    """What the document says of a route with streams; event: the type of one event.

    server.api.document has the types with these names.
    """
    return {200: {"content": {"text/event-stream": {"schema": {"$ref": SCHEMAS + event}}}}}


class Turn(Protocol[E_co]):
    """What is computed for a request."""

    def events(self) -> AsyncIterator[E_co]: ...

    def cancel(self) -> None:
        """Without meaning for a turn that has ended."""
        ...


async def find_service(context: Context, model: str) -> ChatService:
    """What answers for a model. Start the answer before the next await.

    Raises Stopping, and what Catalogue.find raises.
    """
    if not context.ready:
        raise Stopping("The server is stopping.", retry_after_s=RETRY_AFTER_S)
    return await context.catalogue.find(model)


async def answer_whole(
    request: Request, turn: Turn[Any], seconds: float, whole: Coroutine[Any, Any, T]
) -> T:
    """The result of `whole`; the turn ends with it, with its client, or after `seconds` (0: no)."""
    end = limited(request, turn, seconds)
    try:
        return await while_connected(request.receive, whole)
    finally:
        end()


async def answer_stream(
    request: Request,
    turn: Turn[E],
    seconds: float,
    frames: Callable[[AsyncIterator[E]], AsyncGenerator[bytes]],
    on_end: Callable[[], None] = lambda: None,
) -> EventStream:
    """The same as a stream, once there is something to send or an error to raise.

    on_end: called once when the stream has ended, complete or not.
    """
    cancel = limited(request, turn, seconds)

    def end() -> None:
        cancel()
        on_end()

    try:
        events = await while_connected(request.receive, _begun(turn.events()))
    except BaseException:
        cancel()
        raise
    return EventStream(frames(events), on_end=end)


def limited(request: Request, turn: Turn[Any], seconds: float) -> Callable[[], None]:
    """Lets the turn go on for `seconds` at most; what is returned ends it before.

    What belongs to a batch may have to wait for longer, and the batch has a limit of its own.
    """
    if not seconds or is_inside(request):
        return turn.cancel
    timer = asyncio.get_running_loop().call_later(seconds, turn.cancel)

    def end() -> None:
        timer.cancel()
        turn.cancel()

    return end


async def _begun(events: AsyncIterator[E]) -> AsyncGenerator[E]:
    """The events, once the first is there, so that an error before it is a plain HTTP error.

    Waits for as long as a silent connection is safe; after that the stream begins without.
    """
    first = asyncio.ensure_future(anext(events, None))
    try:
        await asyncio.wait({first}, timeout=PING_S)
        if first.done():
            first.result()
    except BaseException:
        first.cancel()
        raise
    return _chained(first, events)


async def _chained(
    first: "asyncio.Future[E | None]", events: AsyncIterator[E]
) -> AsyncGenerator[E]:
    event = await first
    if event is not None:
        yield event
    async for event in events:
        yield event
