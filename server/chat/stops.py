"""The watcher of an answer: tokens to text, stop strings, and what must be held back."""

from collections import deque
from collections.abc import Iterator, Sequence

from models.tokenizer import TextDecoder, Tokenizer
from server.chat.thinking import Phase, ThoughtSplitter
from server.chat.tools import CallSplitter, ExpectedCalls
from server.engine.messages import Watched


class TextWatcher:
    """Decodes an answer and looks for stop strings across token boundaries.

    Text that may be the beginning of a stop string is held back until it is known not to be.
    White space at the beginning belongs to the template; it is not delivered, unless `trim` is
    off. `stops` end what the model writes, `answer_stops` not within its thoughts, and neither
    within its calls; both are delivered too, with their marks. None that begins in the first
    `min_tokens` tokens counts.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stops: Sequence[str],
        answer_stops: Sequence[str] = (),
        phase: Phase = "answer",
        *,
        trim: bool = True,
        calls: ExpectedCalls | None = None,
        min_tokens: int = 0,
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stops)
        self._answer_stops = tuple(answer_stops)
        self._thoughts = ThoughtSplitter(phase, trim=trim)
        self._calls = CallSplitter(calls) if calls is not None else None
        self._decoder = TextDecoder()
        self._min_tokens = min_tokens
        self._count = 0  # tokens seen
        self._text = ""  # decoded since the last clean boundary
        self._delivered = 0  # characters of it
        self._forgotten = 0  # characters before it
        # Boundaries between tokens that split no character, as (tokens before it, position in
        # _text), from the newest one at or before the held text on; the first is at 0.
        self._boundaries: deque[tuple[int, int]] = deque([(0, 0)])
        self._started = not trim
        # What has no first character of any stop string, where nothing is held, is delivered.
        self._heads = frozenset(stop[0] for stop in (*self._stops, *self._answer_stops))
        self._flows = False
        self.stop: str | None = None  # of answer_stops, the one that ended the answer

    def push(self, token: int) -> Watched:
        text = self._decoder.push(self._tokenizer.token_bytes(token))
        if (
            self._flows
            and not self._text
            and not self._decoder.pending
            and self._heads.isdisjoint(text)
        ):
            return self._pass(text)
        watched = self._watch(text)
        self._flows = self._calls is None and self._started and self._thoughts.flows
        return watched

    def _pass(self, text: str) -> Watched:
        """The same as _watch(), for what most of an answer consists of."""
        self._count += 1
        self._forgotten += len(text)
        self._boundaries[0] = (self._count, 0)
        return Watched(text, self._count)

    def _watch(self, text: str) -> Watched:
        said = self._thoughts.push(text)
        if self._calls is not None:
            self._calls.push(said.content)
        self._text += text
        self._count += 1
        if not self._decoder.pending:
            self._boundaries.append((self._count, len(self._text)))
        found = self._find_stop()
        if found is not None:
            start, stop = found
            self.stop = stop if stop in self._answer_stops else None
            return self._stop(start)
        text = self._release(self._undecided())
        return Watched(text, clean=self._boundaries[0][0])

    def close(self) -> str:
        """Held-back text, for an answer that ends otherwise; half a character is dropped."""
        return self._release(len(self._text))

    def _find_stop(self) -> tuple[int, str] | None:
        """Where in the held text a whole stop string begins, and which; the earliest one."""
        found = ((self._text.find(*sought), sought[0]) for sought in self._sought(self._decided))
        return min((one for one in found if one[0] >= 0), default=None)

    def _sought(self, decided: int) -> Iterator[tuple[str, int, int]]:
        """Every stop string, and the part of the held text that it may lie in."""
        if self._count <= self._min_tokens:
            return
        start = self._delivered
        if self._calls is not None and self._calls.called:
            start = max(start, self._place(self._calls.content_at))
        for stop in self._stops:
            yield stop, start, decided
        if self._thoughts.answer_at is not None:
            start = max(start, self._thoughts.answer_at - self._forgotten)
            for stop in self._answer_stops:
                yield stop, start, decided

    @property
    def _decided(self) -> int:
        """Up to where it is known what of the held text is content and what is a call."""
        return len(self._text) if self._calls is None else self._place(self._calls.decided_to)

    def _place(self, at: int) -> int:
        """Where in the held text so many characters of the answer end."""
        assert self._calls is not None
        return max(len(self._text) - (self._calls.read - at), 0)

    def _undecided(self) -> int:
        """Where in the held text the longest possible beginning of a stop string begins."""
        if self._thoughts.undecided:
            return self._delivered
        end = len(self._text)
        starts = [max(self._decided, self._delivered)]
        for stop, start, _ in self._sought(end):
            longest = min(len(stop) - 1, end - start)
            lengths = (n for n in range(longest, 0, -1) if self._text.endswith(stop[:n]))
            starts.append(end - next(lengths, 0))
            whole = self._text.find(stop, start)  # it may turn out to lie in the content
            starts.append(end if whole < 0 else whole)
        return min(starts)

    def _release(self, end: int) -> str:
        """Deliver the text up to `end`, and forget what lies before the last clean boundary."""
        text, self._delivered = self._text[self._delivered : end], end
        while len(self._boundaries) > 1 and self._boundaries[1][1] <= end:
            self._boundaries.popleft()
        self._forget(self._boundaries[0][1])
        if not self._started:
            text = text.lstrip()
            self._started = bool(text)
        return text

    def _forget(self, count: int) -> None:
        self._text = self._text[count:]
        self._delivered -= count
        self._forgotten += count
        self._boundaries = deque((tokens, at - count) for tokens, at in self._boundaries)

    def _stop(self, start: int) -> Watched:
        text = self._release(start)
        remainder = self._text[: self._delivered]
        ids = tuple(self._tokenizer.encode(remainder)) if remainder else ()
        return Watched(text, self._boundaries[0][0], stopped=True, remainder=ids)
