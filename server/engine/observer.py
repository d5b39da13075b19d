"""What is told of an engine's work to whoever counts it; all of it in the event loop."""

from time import perf_counter
from typing import Protocol

from server.engine.messages import Admitted, Event, Failed, Finished, Submit, TokenSampled


class StepObserver(Protocol):
    """Of one engine."""

    def step_taken(self, seconds: float, sequences: int, tokens: int) -> None:
        """A step fed so many tokens of so many sequences; told some time after it, in order."""
        ...


class AnswerObserver(Protocol):
    """Of one model, whose answers an engine computes; it is told once per event."""

    def admitted(self, computed: int, cached: int) -> None:
        """A prompt; `cached` of its tokens came with a kept state, the others are to be fed."""
        ...

    def started(self, seconds: float) -> None:
        """A prompt got a slot, so long after it was admitted; told once, even for many choices."""
        ...

    def first_token(self, seconds: float) -> None:
        """Of an answer, so long after its prompt was admitted."""
        ...

    def next_token(self, seconds: float) -> None:
        """Another one, so long after the one before it."""
        ...

    def ended(self, reason: str) -> None:
        """An answer: by its finish reason, or `failed`."""
        ...


class Meter(Protocol):
    """Of all engines: what each caller uses."""

    def spent(self, caller: str, tokens: int) -> None:
        """Tokens of a prompt, known ones included, or of an answer."""
        ...


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
        """One more event, in order, and when it happened."""
        match event:
            case TokenSampled():
                self._token(event.branch, moment)
            case Admitted() if not self._started:
                self._started = True
                self._observer.started(moment - self._submitted)
            case Finished(_, branch, reason):
                if event.stop_token is not None:
                    self._token(branch, moment)
                self._open -= 1
                self._observer.ended(reason)
            case Failed():
                for _ in range(self._open):
                    self._observer.ended("failed")

    def _token(self, branch: int, now: float) -> None:
        last = self._last.get(branch)
        self._last[branch] = now
        if last is None:
            self._observer.first_token(now - self._submitted)
        else:
            self._observer.next_token(now - last)


def prompt_tokens(submit: Submit) -> int:
    """Of a whole prompt, those included that came with a kept state."""
    return sum(map(len, submit.pieces)) + (submit.start.tokens if submit.start else 0)


def sampled_tokens(event: Event) -> int:
    """How many tokens of an answer an event tells of."""
    if isinstance(event, TokenSampled):
        return 1
    return int(isinstance(event, Finished) and event.stop_token is not None)
