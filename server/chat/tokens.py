"""Which tokens wrote which part of a text.

A text is delivered in characters and later than its tokens were sampled, without what stop
strings, thoughts and white space around them take away. Here every delivered part gets the tokens
whose bytes it is made of.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from models.tokenizer import TextDecoder
from server.engine.messages import TokenLogprob

TokenBytes = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class TextToken:
    """A token of a delivered text, which begins `offset` characters into it.

    data: its bytes, of a token that was delivered in part only those. logprob is None where none
    was asked for or nothing precedes the token.
    """

    id: int
    data: bytes
    offset: int
    logprob: TokenLogprob | None = None


@dataclass(frozen=True, slots=True)
class _Written:
    """A token whose bytes start `start` bytes into everything written."""

    id: int
    data: bytes
    start: int
    logprob: TokenLogprob | None

    @property
    def end(self) -> int:
        return self.start + len(self.data)


class TokenLedger:
    """Takes tokens as they are sampled, gives them out with the text they wrote.

    blank: how many characters of white space everything written begins with; 0 unless `trim`.
    offset: of the delivered text in what it is part of.
    """

    def __init__(self, token_bytes: TokenBytes, *, offset: int = 0, trim: bool = True) -> None:
        self._token_bytes = token_bytes
        self._offset = offset
        self._utf8 = TextDecoder()
        self._written: deque[_Written] = deque()
        self._ends = [0]  # bytes read up to the end of every character, and before the first
        self._read = 0
        self._inked = not trim
        self.blank = 0

    def push(self, token: int, logprob: TokenLogprob | None = None) -> None:
        """One more token."""
        data = self._token_bytes(token)
        self._written.append(_Written(token, data, self._read, logprob))
        text = "".join(self._decode(data))
        if not self._inked:
            self.blank += len(text) - len(text.lstrip())
            self._inked = bool(text.strip())

    def _decode(self, data: bytes) -> Iterator[str]:
        for byte in data:
            pending = self._utf8.pending
            text = self._utf8.push(bytes((byte,)))
            # A byte that does not go on a character turns what was there of it into U+FFFD: one
            # for all of it, or one for each byte of half a surrogate pair.
            own = 0 if self._utf8.pending else 1
            broken = len(text) - own if pending and text else 0
            self._ends += range(self._read - broken + 1, self._read + 1)
            self._ends += [self._read + 1] * (len(text) - broken)
            self._read += 1
            yield text

    def take(self, start: int, end: int, *, cut: bool = False) -> tuple[TextToken, ...]:
        """The next tokens that wrote of the characters from `start` on, and nothing after `end`.

        Those before `start` are dropped. cut: the text ends here, so a token that reaches across
        its end is given out with the part of its bytes that lies before.
        """
        first, last = self._ends[start], self._ends[end]
        taken = []
        while self._written:
            token = self._written[0]
            if token.end > last and not (cut and token.start < last):
                break
            self._written.popleft()
            if token.end > first or (not token.data and token.start >= first):
                data = token.data[max(first - token.start, 0) : last - token.start]
                taken.append(self._text_token(token, data, start))
        return tuple(taken)

    def rest(self) -> tuple[TextToken, ...]:
        """All tokens that were not given out, among them the parts of an incomplete character."""
        rest = tuple(self._text_token(token, token.data, 0) for token in self._written)
        self._written.clear()
        return rest

    def _text_token(self, token: _Written, data: bytes, start: int) -> TextToken:
        before = bisect_right(self._ends, token.start) - 1
        offset = self._offset + max(before - start, 0)
        return TextToken(token.id, data, offset, token.logprob)
