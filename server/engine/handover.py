"""Events on their way from the engine's thread to the event loop, those of several steps at once.

An event of a stream costs the loop about a tenth of a millisecond on its way to a client, on the
cores that compute too. So tokens of a fast model wait for a moment, in which those of the next
steps join them; whatever else happens is handed over at once, with all that waits. See
docs/decisions/0051.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from server.engine.messages import Event, TokenSampled

# From one delivery of tokens to the next: for each stream but one, and at most. Fifty times a
# second is as smooth as a reader sees.
_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.020


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


Deliver = Callable[[Sequence[Report]], None]


class Handover:
    """deliver: called in `loop`, with reports in order. Reports without events wait for others."""

    def __init__(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        self._loop = loop
        self._deliver = deliver
        self._lock = threading.Lock()
        self._waiting: list[Report] = []
        self._called = self._called_later = False
        self._last = 0.0  # when something was handed over

    def post(self, report: Report) -> None:
        """Call from the engine's thread."""
        pause = self._pause(report)
        with self._lock:
            self._waiting.append(report)
            if not report.events or self._called or (pause and self._called_later):
                return
            self._called, self._called_later = not pause, bool(pause)
        if self._loop.is_closed():
            return
        if pause:
            self._loop.call_soon_threadsafe(self._loop.call_later, pause, self._hand_over)
        else:
            self._loop.call_soon_threadsafe(self._hand_over)

    def _pause(self, report: Report) -> float:
        """How long this can wait; only tokens can."""
        if not all(isinstance(event, TokenSampled) for event in report.events):
            return 0.0
        pause = min(_PAUSE_S * (len(report.events) - 1), _LONGEST_PAUSE_S)
        return max(0.0, self._last + pause - report.moment)

    def _hand_over(self) -> None:
        with self._lock:
            reports, self._waiting = self._waiting, []
            self._called = self._called_later = False
        if reports:
            self._last = perf_counter()
            self._deliver(reports)
