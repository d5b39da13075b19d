"""The thread line: the event loop's side of the engine, and the thread that runs it."""

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from server.engine.engine import Engine
from server.engine.messages import (
    Admitted,
    Cancel,
    Command,
    Event,
    Failed,
    Finished,
    Stop,
    Submit,
    TokenSampled,
)
from server.engine.observer import (
    AnswerObserver,
    AnswerWatch,
    Meter,
    StepObserver,
    prompt_tokens,
    sampled_tokens,
)

log = logging.getLogger(__name__)

Step = tuple[float, int, int]  # seconds, sequences and tokens
Trace = Callable[[], AnswerObserver | None]
Hear = Callable[[TokenSampled], None]


class EngineFull(Exception):
    """Slots and queue are taken; nothing of the refused request was started."""


class EngineClient:
    """Submits requests to an engine in its own thread; use from one event loop only.

    At most `capacity` answers are in flight (slots plus queue); one more is refused at once. Those
    of the background, with a priority above 0, are counted apart, so that they never take the room
    of one that somebody waits for.
    observer: is told of every step that fed something. meter: of the tokens of every caller.
    trace: gives one more observer of an answer, in the context of whoever submits it.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        capacity: int,
        observer: StepObserver | None = None,
        meter: Meter | None = None,
        trace: Trace = lambda: None,
    ) -> None:
        self._engine = engine
        self.capacity = capacity
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self._streams: dict[str, EventStream] = {}
        self._in_flight = {False: 0, True: 0}  # by whether they belong to the background
        self._held = {False: 0, True: 0}  # room for what is about to be submitted
        self._meter = meter
        self._trace = trace
        self._observer = observer
        self._steps: list[Step] = []  # of which the observer was not told
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def in_flight(self) -> int:
        """Answers that were admitted and have not ended."""
        return sum(self._in_flight.values())

    @property
    def busy(self) -> bool:
        """An answer is in flight, or about to be: it must not be stopped for want of work."""
        return bool(self.in_flight or any(self._held.values()))

    @contextmanager
    def held(self, answers: int = 1, priority: int = 0) -> Iterator[None]:
        """Within this block nobody else takes the room for so many answers.

        Submit them right after it, before the next await. Raises EngineFull.
        """
        if self._stopping or answers > self.room(priority):
            raise EngineFull
        self._held[priority > 0] += answers
        try:
            yield
        finally:
            self._held[priority > 0] -= answers

    def room(self, priority: int = 0) -> int:
        """So many more answers of this priority would be admitted."""
        background = priority > 0
        return self.capacity - self._in_flight[background] - self._held[background]

    @property
    def waiting(self) -> int:
        """Those of them that have no slot."""
        return max(0, self.in_flight - self._engine.occupied)

    @property
    def slots_used(self) -> int:
        return self._engine.occupied

    @property
    def slots(self) -> int:
        return self._engine.slots

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; call from the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after its current step; requests in flight end in Failed."""
        self._stopping = True
        if not self._thread.is_alive():
            return
        self._commands.put(Stop())
        await asyncio.to_thread(self._thread.join)

    def submit(self, submit: Submit, observer: AnswerObserver | None = None) -> "EventStream":
        """Hand a request over and return its events. Raises EngineFull."""
        place, branches = submit.place, len(submit.branches)
        if self._stopping or branches > self.room(place.priority):
            raise EngineFull
        told = observer, (self._trace() if observer is not None else None)
        watches = [AnswerWatch(one, submit) for one in told if one is not None]
        stream = EventStream(self, submit, watches)
        self._streams[submit.request] = stream
        self._in_flight[stream.background] += branches
        self._spend(place.caller, prompt_tokens(submit))
        self._commands.put(submit)
        return stream

    def cancel(self, request: str) -> None:
        self._commands.put(Cancel(request))

    def _deliver(self, events: Sequence[Event], steps: Sequence[Step]) -> None:
        """Called in the event loop, once per step that has events."""
        if self._observer is not None:
            for step in steps:
                self._observer.step_taken(*step)
        for event in events:
            stream = self._streams.get(event.request)
            if stream is None:
                continue
            ended = stream.put(event)
            self._in_flight[stream.background] -= ended
            self._spend(stream.caller, sampled_tokens(event))
            if stream.open_branches == 0:
                del self._streams[event.request]

    def _spend(self, caller: str, tokens: int) -> None:
        if self._meter is not None and caller and tokens:
            self._meter.spent(caller, tokens)

    def _run(self) -> None:
        """The engine thread."""
        log.debug("engine thread started")
        while self._take_commands(block=self._engine.idle):
            self._post(self._step())
        self._post([*self._engine.abandon("the server is stopping"), *self._refuse_queued()])

    def _step(self) -> list[Event]:
        start = perf_counter()
        try:
            events = self._engine.step()
        except Exception:
            log.exception("the engine broke; all answers in flight are given up")
            return self._engine.abandon("the computation of this answer failed")
        sequences, tokens = self._engine.fed
        if sequences and self._observer is not None:
            self._steps.append((perf_counter() - start, sequences, tokens))
        return events

    def _refuse_queued(self) -> list[Event]:
        """What was submitted after the command to stop."""
        events: list[Event] = []
        while not self._commands.empty():
            command = self._commands.get()
            if isinstance(command, Submit):
                events.append(Failed(command.request, "the server is stopping"))
        return events

    def _take_commands(self, *, block: bool) -> bool:
        """Apply what has arrived; False when the engine is to stop."""
        while True:
            try:
                command = self._commands.get(block=block)
            except queue.Empty:
                return True
            block = False
            match command:
                case Submit():
                    self._engine.submit(command)
                case Cancel(request):
                    self._engine.cancel(request)
                case Stop():
                    return False

    def _post(self, events: list[Event]) -> None:
        if events and self._loop is not None and not self._loop.is_closed():
            # Steps without events wait, as a call into the loop costs more than all the counting.
            steps, self._steps = self._steps, []
            self._loop.call_soon_threadsafe(self._deliver, events, steps)


class EventStream:
    """The events of one request, in order, until every branch has ended.

    Where somebody hears the tokens, the others are left.
    """

    def __init__(
        self, client: EngineClient, submit: Submit, watches: Sequence[AnswerWatch] = ()
    ) -> None:
        self._client = client
        self._request = submit.request
        self.caller = submit.place.caller
        self.background = submit.place.priority > 0
        self._watches = watches
        self._queue: asyncio.Queue[Event | Exception] = asyncio.Queue()
        self._hear: Hear | None = None
        self._admitted = False
        self._known = asyncio.Event()  # whether it is ever admitted
        self.open_branches = len(submit.branches)

    def hear(self, hear: Hear) -> None:
        """Call `hear` with every token as it comes, which saves waking a task for each.

        What it raises is raised where the other events are read. Call before the first await.
        """
        self._hear = hear

    def put(self, event: Event) -> int:
        """Add an event; returns how many branches it ends."""
        for watch in self._watches:
            watch.see(event)
        if self._hear is not None and isinstance(event, TokenSampled):
            self._tell(self._hear, event)
            return 0
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

    def _tell(self, hear: Hear, event: TokenSampled) -> None:
        try:
            hear(event)
        except Exception as error:
            self._hear = None
            self._queue.put_nowait(error)

    async def admitted(self) -> bool:
        """Wait until the request has a slot; False where it ends without one."""
        await self._known.wait()
        return self._admitted

    def cancel(self) -> None:
        """Ask for an early end; the stream still delivers every Finished."""
        self._client.cancel(self._request)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while self.open_branches or not self._queue.empty():
            event = await self._queue.get()
            if isinstance(event, Exception):
                raise event
            yield event
