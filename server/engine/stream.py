"""The events of one request, in the event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from server.engine.messages import Admitted, Event, Failed, Finished, Submit, TokenSampled
from server.engine.observer import Watch

Hear = Callable[[Sequence[TokenSampled]], None]


class EventStream:
    """The events of one request, in order, until every branch has ended.

    Where somebody hears the tokens, the others are left. cancel: asks for the end of a request.
    """

    def __init__(
        self,
        submit: Submit,
        cancel: Callable[[str], None],
        watches: Sequence[Watch] = (),
    ) -> None:
        self._cancel = cancel
        self._request = submit.request
        self.background = submit.place.priority > 0
        self._watches = watches
        self._queue: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self._hear: Hear | None = None
        self._untold: list[TokenSampled] = []
        self._moments: list[float] = []  # when those were sampled
        self._admitted = False
        self._known = asyncio.Event()  # whether it is ever admitted
        self.open_branches = len(submit.branches)

    def hear(self, hear: Hear) -> None:
        """Call `hear` with the tokens as they come, which saves waking a task for each.

        What it raises is raised where the other events are read. Call before the first await.
        """
        self._hear = hear

    def put(self, event: Event, moment: float) -> int:
        """Add an event, which happened at that moment; returns how many branches it ends.

        Tokens wait for the next event that is none, or for tell().
        """
        if isinstance(event, TokenSampled):
            self._untold.append(event)
            self._moments.append(moment)
            return 0
        self.tell()
        for watch in self._watches:
            watch.see(event, moment)
        if not isinstance(event, Admitted):
            self._queue.put_nowait(event)
        match event:
            case Admitted():
                self._admitted, ended = True, 0
                self._known.set()
            case Finished():
                ended = 1
            case Failed():
                ended = self.open_branches
            case _:
                ended = 0
        self.open_branches -= ended
        if not self.open_branches:
            self._known.set()
            self._hear = None  # whoever hears has the stream: the circle would keep the engine
        return ended

    def tell(self) -> None:
        """Tell of the tokens that were put, of all in one go."""
        if not self._untold:
            return
        tokens, self._untold = self._untold, []
        moments, self._moments = self._moments, []
        seen = [(token.branch, moment) for token, moment in zip(tokens, moments, strict=True)]
        for watch in self._watches:
            watch.see_tokens(seen)
        if self._hear is None:
            for token in tokens:
                self._queue.put_nowait(token)
            return
        try:
            self._hear(tokens)
        except Exception as error:
            self._hear = None
            self._queue.put_nowait(error)

    async def admitted(self) -> bool:
        """Wait until the request has a slot; False where it ends without one."""
        await self._known.wait()
        return self._admitted

    def cancel(self) -> None:
        """Ask for an early end; the stream still delivers every Finished."""
        self._cancel(self._request)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while self.open_branches or not self._queue.empty():
            event = await self._queue.get()
            if isinstance(event, Exception):
                raise event
            yield event
