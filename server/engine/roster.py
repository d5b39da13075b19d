"""Every sequence of an engine, in line or in a slot, and what is still to be told of it."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from time import monotonic

from torch import Tensor

from server.engine.line import Line
from server.engine.messages import Admitted, Event, Failed, Submit
from server.engine.sampler import Sampler
from server.engine.sequence import Ending, Sequence
from server.engine.slots import Slots
from server.engine.snapshot import Snapshot

log = logging.getLogger(__name__)

BROKEN = "the computation of this answer failed"


class Roster:
    """Sequences enter by the line and leave with an event: Finished, or Failed.

    forbidden: ids that are never sampled. max_wait_s: how long a request of priority 0 may wait
    for its first slot; 0 is no limit.
    """

    def __init__(self, slots: Slots, forbidden: Tensor, max_wait_s: float) -> None:
        self.slots = slots
        self.line = Line()
        self.events: list[Event] = []
        self._forbidden = forbidden
        self._max_wait_s = max_wait_s
        self._order = count()

    @property
    def idle(self) -> bool:
        return not self.line and not self.slots.sequences

    def queue(self, submit: Submit) -> None:
        """At the end of the line; branches fork off later, where their prompt has been fed."""
        try:
            branches = 1 if any(submit.pieces) else len(submit.branches)
            for sequence in self._branches(submit, range(branches)):
                sequence.waiting_since = monotonic()
                self.line.add(sequence)
        except Exception:
            log.exception("a request could not be set up")
            self.fail(submit.request, "this answer could not be started")

    def fork(self, sequence: Sequence, snapshot: Snapshot) -> None:
        """Queue the prompt's other branches, first in line, from where it ends."""
        rest = replace(sequence.submit, start=snapshot, pieces=())
        forks = self._branches(rest, range(1, len(rest.branches)))
        for fork in reversed(forks):
            self.line.put_first(fork)

    def _branches(self, submit: Submit, branches: Iterable[int]) -> list[Sequence]:
        samplings = ((branch, submit.branches[branch].sampling) for branch in branches)
        return [
            Sequence(
                submit,
                branch,
                Sampler(sampling, self._forbidden, submit.stop_ids),
                next(self._order),
            )
            for branch, sampling in samplings
        ]

    def admit(self) -> None:
        """Into the free slots, and those that can be freed."""
        self._give_up_waiting()
        while self.line and self._make_room(self.line.priority):
            sequence = self.line.pop()
            if sequence.waiting_since is not None:
                sequence.waiting_since = None
                self.events.append(Admitted(sequence.request))
            self.slots.add(sequence)

    def _make_room(self, priority: int) -> bool:
        """A slot is free for a sequence of this priority, which may take that of a later one."""
        if self.slots.free:
            return True
        last = max(self.slots.sequences, key=lambda s: (s.priority, s.order))
        if last.priority <= priority:
            return False
        self.slots.park(last)
        self.line.put_first(last)
        return True

    def _give_up_waiting(self) -> None:
        if not self._max_wait_s:
            return
        begin = monotonic() - self._max_wait_s
        late = [s for s in self.line if s.waiting_since is not None and s.waiting_since < begin]
        for request in {s.request for s in late if not s.priority}:
            self.fail(request, "there was no slot for this answer in time", waited=True)

    def cancel(self, request: str) -> None:
        """End a request's sequences, those that have said something with their last token fed."""
        for sequence in [s for s in self.line if s.request == request]:
            if sequence.sampled:  # it gave its slot away
                self._end_cancelled(sequence)
            else:
                self.line.remove(sequence)
                self._report_finish(sequence, Ending("cancelled", ""), None)
        for sequence in [s for s in self.slots.sequences if s.request == request]:
            if sequence.in_prompt:
                self.slots.remove(sequence)
                self._report_finish(sequence, Ending("cancelled", ""), None)
            else:
                self._end_cancelled(sequence)

    def _end_cancelled(self, sequence: Sequence) -> None:
        if sequence.ending is not None:
            return
        try:
            sequence.ending = Ending("cancelled", sequence.watcher.close())
        except Exception:
            log.exception("a sequence failed when it was cancelled")
            self.fail(sequence.request, BROKEN)

    def finish(self, sequence: Sequence, snapshot: Snapshot) -> None:
        """Free its slot and report its ending."""
        assert sequence.ending is not None
        self.slots.remove(sequence)
        self._report_finish(sequence, sequence.ending, snapshot)

    def _report_finish(self, sequence: Sequence, ending: Ending, snapshot: Snapshot | None) -> None:
        branches = len(sequence.submit.branches)
        unforked = range(branches) if sequence.in_prompt else (sequence.branch,)
        self.events += (
            ending.report(sequence.request, branch, sequence.sampled, snapshot)
            for branch in unforked
        )

    def fail(
        self, request: str, message: str, *, waited: bool = False, form: str | None = None
    ) -> None:
        """Give all sequences of a request up; waited, form: see Failed."""
        for sequence in [s for s in self.slots.sequences if s.request == request]:
            self.slots.remove(sequence)
        for sequence in [s for s in self.line if s.request == request]:
            self.line.remove(sequence)
        self.events.append(Failed(request, message, waited, form))

    def abandon(self, message: str) -> None:
        """Give every sequence up."""
        given_up = {s.request for s in (*self.line, *self.slots.sequences)}
        self.line.clear()
        self.slots.sequences.clear()
        self.events += (Failed(request, message) for request in given_up)

    def take_events(self) -> list[Event]:
        """What happened since the last time, in order."""
        events, self.events = self.events, []
        return events
