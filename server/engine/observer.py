"""What is told of an engine's work to whoever counts it; all of it in the event loop."""

from collections.abc import Sequence
from time import perf_counter
from typing import Protocol

from server.engine.messages import Admitted, Event, Failed, Finished, Submit


class StepObserver(Protocol):
    """Of one engine."""

    def step_taken(self, seconds: float, sequences: int, tokens: int) -> None:
        """A step fed so many tokens of so many sequences; told some time after it, in order."""
        ...


class AnswerObserver(Protocol):
    """Of one model, whose answers an engine computes."""

    def admitted(self, computed: int, cached: int) -> None:
        """A prompt; `cached` of its tokens came with a kept state, the others are to be fed."""
        ...

    def started(self, seconds: float) -> None:
        """A prompt got a slot, so long after it was admitted; told once, even for many choices."""
        ...

    def first_token(self, seconds: float) -> None:
        """Of an answer, so long after its prompt was admitted."""
        ...

    def next_tokens(self, seconds: Sequence[float]) -> None:
        """More of them, each so long after the one before it in its answer."""
        ...

    def ended(self, reason: str) -> None:
        """An answer: by its finish reason, or `failed`."""
        ...


class Meter(Protocol):
    """Of all engines: what each caller uses."""

    def spent(self, caller: str, tokens: int) -> None:
        """Tokens of a prompt, known ones included, or of an answer."""
        ...


class Watch(Protocol):
    """Of one request's events, in order; when they happened is in seconds of perf_counter()."""

    def see(self, event: Event, moment: float) -> None:
        """One that is no token."""
        ...

    def see_tokens(self, tokens: Sequence[tuple[int, float]]) -> None:
        """More tokens, by their branches and moments."""
        ...


class MeterWatch:
    """Tells a meter what the caller of a request uses; a stop token counts."""

    def __init__(self, meter: Meter, submit: Submit) -> None:
        self._meter, self._caller = meter, submit.place.caller
        meter.spent(self._caller, prompt_tokens(submit))

    def see(self, event: Event, moment: float) -> None:
        """See Watch."""
        if isinstance(event, Finished) and event.stop_token is not None:
            self._meter.spent(self._caller, 1)

    def see_tokens(self, tokens: Sequence[tuple[int, float]]) -> None:
        """See Watch."""
        self._meter.spent(self._caller, len(tokens))


class AnswerWatch:
    """Tells an observer of the answers to one request, from its events; a stop token counts."""

    def __init__(self, observer: AnswerObserver, submit: Submit) -> None:
        self._observer = observer
        self._open = len(submit.branches)
        self._submitted = perf_counter()
        self._last: dict[int, float] = {}
        self._started = False
        cached = submit.start.tokens if submit.start else 0
        observer.admitted(sum(map(len, submit.pieces)), cached)

    def see(self, event: Event, moment: float) -> None:
        """See Watch."""
        match event:
            case Admitted() if not self._started:
                self._started = True
                self._observer.started(moment - self._submitted)
            case Finished(_, branch, reason):
                if event.stop_token is not None:
                    self.see_tokens([(branch, moment)])
                self._open -= 1
                self._observer.ended(reason)
            case Failed():
                for _ in range(self._open):
                    self._observer.ended("failed")

    def see_tokens(self, tokens: Sequence[tuple[int, float]]) -> None:
        """See Watch."""
        waits = []
        for branch, moment in tokens:
            last = self._last.get(branch)
            self._last[branch] = moment
            if last is None:
                self._observer.first_token(moment - self._submitted)
            else:
                waits.append(moment - last)
        if waits:
            self._observer.next_tokens(waits)


def prompt_tokens(submit: Submit) -> int:
    """Of a whole prompt, those included that came with a kept state."""
    return sum(map(len, submit.pieces)) + (submit.start.tokens if submit.start else 0)
