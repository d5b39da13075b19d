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


class Work(Protocol):
    """What is computed for a request."""

    def cancel(self) -> None:
        """Without meaning for work that has ended."""
        ...


class Turn(Work, Protocol[E_co]):
    """Work whose results come one after another."""

    def events(self) -> AsyncIterator[E_co]: ...

    async def begun(self, seconds: float) -> None:
        """Until there is an event, or so much time has passed; raises what comes without any."""
        ...


async def find_service(context: Context, model: str) -> ChatService:
    """What answers for a model. Start the answer before the next await.

    Raises Stopping, and what Catalogue.find raises.
    """
    if not context.ready:
        raise Stopping("The server is stopping.", retry_after_s=RETRY_AFTER_S)
    return await context.catalogue.find(model)


async def answer_whole(
    request: Request, work: Work, seconds: float, whole: Coroutine[Any, Any, T]
) -> T:
    """The result of `whole`; the work ends with it, with its client, or after `seconds` (0: no)."""
    end = limited(request, work, seconds)
    try:
        async with while_connected(request.receive):
            return await whole
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

    An error that comes before anything else is a plain HTTP error, for as long as a silent
    connection is safe; after that the stream begins without. on_end: called once when the
    stream has ended, complete or not.
    """
    cancel = limited(request, turn, seconds)

    def end() -> None:
        cancel()
        on_end()

    try:
        async with while_connected(request.receive):
            await turn.begun(PING_S)
    except BaseException:
        cancel()
        raise
    return EventStream(frames(turn.events()), on_end=end)


def limited(request: Request, work: Work, seconds: float) -> Callable[[], None]:
    """Lets work go on for `seconds` at most; what is returned ends it before.

    What belongs to a batch may have to wait for longer, and the batch has a limit of its own.
    """
    if not seconds or is_inside(request):
        return work.cancel
    timer = asyncio.get_running_loop().call_later(seconds, work.cancel)

    def end() -> None:
        timer.cancel()
        work.cancel()

    return end
