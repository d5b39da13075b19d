"""Events on their way from the engine's thread to the event loop, those of several steps at once.

An event of a stream costs the loop about a tenth of a millisecond on its way to a client, on the
cores that compute too. So where there are many streams their tokens wait for those of the next
steps; whatever else happens is handed over at once, with what waits of its request. See
docs/decisions/0051, 0054, 0062 and 0066.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from server.engine.messages import Event, TokenSampled

# From one delivery of tokens to the next where another step fits in between: for each stream but
# one, and at most. So parts come at least some 12 times a second where steps do.
_PAUSE_S, _LONGEST_PAUSE_S = 0.0025, 0.080
_LATE = 1.5  # steps: one that takes longer than the last ones is not waited for


@dataclass(frozen=True, slots=True)
class Report:
    """What a step did. moment: of perf_counter(), when it had ended. seconds: it took so long,
    and fed so many sequences and tokens, none if it only answered a command.
    """

    moment: float
    events: Sequence[Event]
    seconds: float = 0.0
    sequences: int = 0
    tokens: int = 0

    def split(self, requests: Set[str]) -> tuple["Report", "Report"]:
        """What it says of these requests and of the step, and the rest."""
        later = [event for event in self.events if event.request not in requests]
        if not later:
            return self, Report(self.moment, ())
        now = [event for event in self.events if event.request in requests]
        told = Report(self.moment, now, self.seconds, self.sequences, self.tokens)
        return told, Report(self.moment, later)


Deliver = Callable[[Sequence[Report]], None]


class Handover:
    """deliver: called in `loop`, with reports in order. Reports without events wait for others.

    What waits of one stream does not go earlier because something happens to another: with many
    streams something always does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        self._loop = loop
        self._deliver = deliver
        self._lock = threading.Lock()
        self._waiting: list[Report] = []
        self._urgent: set[str] = set()  # requests whose events do not wait
        self._all_urgent = self._called = self._called_later = False
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0  # the moment of the latest report with which nothing waited

    def post(self, report: Report) -> None:
        """Call from the engine's thread."""
        urgent = {it.request for it in report.events if not isinstance(it, TokenSampled)}
        tokens = sum(it.request not in urgent for it in report.events) if urgent else None
        pause = self._pause(report, len(report.events) if tokens is None else tokens)
        with self._lock:
            self._waiting.append(report)
            if not report.events:
                return
            self._urgent |= urgent
            self._all_urgent |= tokens != 0 and not pause
            soon = not self._called and (self._all_urgent or bool(urgent))
            later = not self._called_later and pause > 0
            self._called |= soon
            self._called_later |= later
        if self._loop.is_closed():
            return
        if soon:
            self._loop.call_soon_threadsafe(self._hand_over)
        if later:
            self._loop.call_soon_threadsafe(self._wait, pause)

    def _pause(self, report: Report, tokens: int) -> float:
        """How long so many tokens of different streams can wait for steps like the last one."""
        pause = min(_PAUSE_S * (tokens - 1), _LONGEST_PAUSE_S)
        left = self._last + pause - report.moment - report.seconds
        return left + _LATE * report.seconds if left > 0 else 0.0

    def _wait(self, pause: float) -> None:
        if self._called_later and self._timer is None:
            self._timer = self._loop.call_later(pause, self._hand_over_all)

    def _hand_over_all(self) -> None:
        with self._lock:
            self._all_urgent = True
        self._hand_over()

    def _hand_over(self) -> None:
        with self._lock:
            urgent, self._urgent, self._called = self._urgent, set(), False
            if self._all_urgent:
                reports, self._waiting = self._waiting, []
                self._all_urgent = False
            else:
                split = [report.split(urgent) for report in self._waiting]
                reports = [now for now, _ in split]
                self._waiting = [later for _, later in split if later.events]
            everything = not self._waiting
            self._called_later &= not everything
        if everything:
            self._rest(reports)
        if reports:
            self._deliver(reports)

    def _rest(self, reports: Sequence[Report]) -> None:
        """Nothing waits behind these."""
        if reports:
            self._last = reports[-1].moment
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
