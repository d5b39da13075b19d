"""The watcher of an answer: tokens to text, stop strings, and what must be held back."""

from collections import deque
from collections.abc import Iterator, Sequence

from models.tokenizer import TextDecoder, Tokenizer
from server.chat.thinking import Phase, ThoughtSplitter
from server.engine.messages import Watched


class TextWatcher:
    """Decodes an answer and looks for stop strings across token boundaries.

    Text that may be the beginning of a stop string is held back until it is known not to be.
    White space at the beginning belongs to the template; it is not delivered, unless `trim` is
    off. `stops` end what the model writes anywhere, `answer_stops` not within its thoughts, which
    are delivered too, with their marks; none that begins in the first `min_tokens` tokens counts.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        stops: Sequence[str],
        answer_stops: Sequence[str] = (),
        phase: Phase = "answer",
        *,
        trim: bool = True,
        min_tokens: int = 0,
    ) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stops)
        self._answer_stops = tuple(answer_stops)
        self._thoughts = ThoughtSplitter(phase)
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

    def push(self, token: int) -> Watched:
        text = self._decoder.push(self._tokenizer.token_bytes(token))
        self._thoughts.push(text)
        self._text += text
        self._count += 1
        if not self._decoder.pending:
            self._boundaries.append((self._count, len(self._text)))
        start = self._find_stop()
        if start is not None:
            return self._stop(start)
        text = self._release(self._undecided())
        return Watched(text, clean=self._boundaries[0][0])

    def close(self) -> str:
        """Held-back text, for an answer that ends otherwise; half a character is dropped."""
        return self._release(len(self._text))

    def _find_stop(self) -> int | None:
        """Where in the held text a whole stop string begins, the earliest one."""
        found = (self._text.find(stop, start) for stop, start in self._sought())
        return min((start for start in found if start >= 0), default=None)

    def _sought(self) -> Iterator[tuple[str, int]]:
        """Every stop string, and where in the held text it may begin at the earliest."""
        if self._count <= self._min_tokens:
            return
        for stop in self._stops:
            yield stop, self._delivered
        if self._thoughts.answer_at is not None:
            start = max(self._delivered, self._thoughts.answer_at - self._forgotten)
            for stop in self._answer_stops:
                yield stop, start

    def _undecided(self) -> int:
        """Where in the held text the longest possible beginning of a stop string begins."""
        if self._thoughts.undecided:
            return self._delivered
        end = len(self._text)
        starts = [end]
        for stop, start in self._sought():
            longest = min(len(stop) - 1, end - start)
            lengths = (n for n in range(longest, 0, -1) if self._text.endswith(stop[:n]))
            starts.append(end - next(lengths, 0))
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
