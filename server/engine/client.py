"""The thread line: the event loop's side of the engine, and the thread that runs it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

from server.engine.engine import Engine
from server.engine.handover import Handover, Report
from server.engine.intake import Intake
from server.engine.messages import Cancel, Event, Failed, Stop, Submit, TokenSampled
from server.engine.observer import (
    AnswerObserver,
    AnswerWatch,
    Meter,
    MeterWatch,
    StepObserver,
    Watch,
)
from server.engine.stream import EventStream

log = logging.getLogger(__name__)

Trace = Callable[[], AnswerObserver | None]


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
        self._streams: dict[str, EventStream] = {}
        self._in_flight = {False: 0, True: 0}  # by whether they belong to the background
        held = self._held = {False: 0, True: 0}  # room for what is about to be submitted
        self._commands = Intake(coming=lambda: any(held.values()))
        self._meter = meter
        self._trace = trace
        self._observer = observer
        self._stopping = False
        self._handover: Handover | None = None
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
        self._handover = Handover(asyncio.get_running_loop(), self._deliver)
        self._thread.start()

    async def stop(self) -> None:
        """End the thread after its current step; requests in flight end in Failed."""
        self._stopping = True
        if not self._thread.is_alive():
            return
        self._commands.put(Stop())
        await asyncio.to_thread(self._thread.join)

    def submit(self, submit: Submit, observer: AnswerObserver | None = None) -> EventStream:
        """Hand a request over and return its events. Raises EngineFull."""
        place, branches = submit.place, len(submit.branches)
        if self._stopping or branches > self.room(place.priority):
            raise EngineFull
        told = observer, (self._trace() if observer is not None else None)
        watches: list[Watch] = [AnswerWatch(one, submit) for one in told if one is not None]
        if self._meter is not None and place.caller:
            watches.append(MeterWatch(self._meter, submit))
        stream = EventStream(submit, self.cancel, watches)
        self._streams[submit.request] = stream
        self._in_flight[stream.background] += branches
        self._commands.put(submit)
        return stream

    def cancel(self, request: str) -> None:
        self._commands.put(Cancel(request))

    def _deliver(self, reports: Sequence[Report]) -> None:
        """Called in the event loop."""
        waiting: dict[EventStream, None] = {}  # those with tokens, in order
        for report in reports:
            if report.sequences and self._observer is not None:
                self._observer.step_taken(report.seconds, report.sequences, report.tokens)
            for event in report.events:
                stream = self._streams.get(event.request)
                if stream is None:
                    continue
                ended = stream.put(event, report.moment)
                if isinstance(event, TokenSampled):
                    waiting[stream] = None
                elif ended:
                    self._in_flight[stream.background] -= ended
                    if stream.open_branches == 0:
                        del self._streams[event.request]
        for stream in waiting:
            stream.tell()

    def _run(self) -> None:
        """The engine thread."""
        log.debug("engine thread started")
        handover, self._handover = self._handover, None  # the circle would keep the engine
        assert handover is not None
        while self._take_commands():
            handover.post(self._step())
        events = [*self._engine.abandon("the server is stopping"), *self._refuse_queued()]
        handover.post(Report(perf_counter(), events))

    def _step(self) -> Report:
        start = perf_counter()
        try:
            events = self._engine.step()
        except Exception:
            log.exception("the engine broke; all answers in flight are given up")
            events = self._engine.abandon("the computation of this answer failed")
            return Report(perf_counter(), events)
        end = perf_counter()
        return Report(end, events, end - start, *self._engine.fed)

    def _refuse_queued(self) -> list[Event]:
        """What was submitted after the command to stop."""
        return [
            Failed(command.request, "the server is stopping")
            for command in self._commands.take(idle=False)
            if isinstance(command, Submit)
        ]

    def _take_commands(self) -> bool:
        """Apply what has arrived; False when the engine is to stop."""
        for command in self._commands.take(idle=self._engine.idle):
            match command:
                case Submit():
                    self._engine.submit(command)
                case Cancel(request):
                    self._engine.cancel(request)
                case Stop():
                    return False
        return True
