"""What a model says and what it calls, told apart in text that arrives in pieces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from server.chat.tools.form import ExpectedCalls
from server.chat.tools.scan import CallScanner


@dataclass(frozen=True, slots=True)
class ContentPiece:
    """More of the content, which stands `at` so many characters into the text."""

    text: str
    at: int


@dataclass(frozen=True, slots=True)
class CallPiece:
    """More of the call `index`, counted from 0; only its first piece has the name."""

    index: int
    arguments: str
    name: str | None = None


Piece = ContentPiece | CallPiece


class CallSplitter:
    """Text in, content and calls out; the same, joined, however the text is cut.

    A call is known to be one when it is whole, or when its arguments begin and the model is held
    to the form; what only begins like one is content, unless the text ends while it may still be
    one. White space before a call, and the mark that closes it, are neither. What the prompt has
    of a call counts as the text's beginning. unsaid: the text ended in such a beginning.
    """

    def __init__(self, expected: ExpectedCalls) -> None:
        self._form = expected.form
        self._names = expected.names
        self._strict = expected.strict
        self._required = expected.required
        self._begun = re.compile(expected.form.begun) if expected.held else None
        self._held = ""  # undecided
        self._at = -len(expected.begun)  # of it, in the text
        self._scanner: CallScanner | None = None
        self._scanned = 0  # characters of the held text
        self._sure = False  # what is scanned is a call
        self._closing = False  # a call has just ended
        self.calls = 0
        self.unsaid = False
        self.content_at = self._at  # where the content since the last call begins
        self.push(expected.begun)

    @property
    def read(self) -> int:
        """How many characters the text has."""
        return self._at + len(self._held)

    @property
    def called(self) -> bool:
        return self.calls > 0 or self._sure

    @property
    def within_call(self) -> bool:
        """The last of the calls that were told is not whole."""
        return self._sure

    @property
    def decided_to(self) -> int:
        """How many characters of the text are known to be no call's, or of one that is known."""
        if self._closing or self._after_call:
            return self._at
        return self.read - len(self._held.lstrip())

    @property
    def _after_call(self) -> bool:
        """Nothing was said since."""
        return self.called and self.content_at == self._at

    def push(self, text: str) -> list[Piece]:
        self._held += text
        return list(self._pieces())

    def close(self, *, cut: bool = False) -> list[Piece]:
        """What was held back, for a text that ends here; cut: the model would have gone on."""
        self.unsaid = not self._closing and self._begins(cut=cut)
        if self.unsaid or self._closing or (self._after_call and not self._held.strip()):
            self._drop(len(self._held))
        return list(self._content(len(self._held)))

    def _begins(self, *, cut: bool) -> bool:
        """What is held is the beginning of a call, and no text."""
        if self._required:
            return bool(self._held.strip())
        if self._scanner is None or self._sure:
            return False
        return self._in_form or (cut and self._scanner.name not in self._strict)

    def _pieces(self) -> Iterator[Piece]:
        while not self._closing or self._end_call():
            if self._scanner is None:
                start = self._held.find(self._form.opening)
                if start < 0:
                    yield from self._content(self._certain())
                    return
                yield from self._content(len(self._held[:start].rstrip()))
                self._scanner, self._scanned = CallScanner(self._names), self._opened()
            whole = self._scan(self._scanner)
            if self._sure or self._known(self._scanner, whole=whole is True):
                yield from self._call(self._scanner)
            if whole is None:
                return
            yield from self._end(whole)

    def _scan(self, scanner: CallScanner) -> bool | None:
        """Is the held text a call? None where that is not known yet."""
        for char in self._held[self._scanned :]:
            if not scanner.push(char):
                return False
            self._scanned += 1
            if scanner.done:
                return True
        return None

    def _known(self, scanner: CallScanner, *, whole: bool) -> bool:
        """The scanned text is a call, or nothing but a call can come of it."""
        in_form = scanner.arguments and self._in_form
        return in_form or (whole and scanner.name not in self._strict)

    @property
    def _in_form(self) -> bool:
        """The model is held to the form of the call that has begun."""
        return self._begun is not None and self._begun.match(self._held.lstrip()) is not None

    def _call(self, scanner: CallScanner) -> Iterator[Piece]:
        """What is new of a call."""
        if not self._sure:
            self._sure = True
            yield CallPiece(self.calls, "", scanner.name)
        if arguments := scanner.take():
            yield CallPiece(self.calls, arguments)
        self._drop(self._scanned)
        self._scanned, self.content_at = 0, self._at

    def _end(self, whole: bool) -> Iterator[Piece]:
        """Of a call, or of what was none."""
        if self._sure:
            self.calls += 1
            self._closing = whole
        else:
            yield from self._content(self._opened())
        self._scanner, self._sure = None, False

    def _end_call(self) -> bool:
        """Take the closing mark away; False where it may still come."""
        rest = self._held.lstrip()
        closing = self._form.closing
        if len(rest) < len(closing) and closing.startswith(rest):
            return False
        if rest.startswith(closing):
            self._drop(len(self._held) - len(rest) + len(closing))
        self._closing = False
        self.content_at = self._at
        return True

    def _content(self, length: int) -> Iterator[Piece]:
        if length:
            yield ContentPiece(self._held[:length], self._at)
            self._drop(length)

    def _drop(self, length: int) -> None:
        self._held = self._held[length:]
        self._at += length

    def _opened(self) -> int:
        """Where the held text's opening mark ends."""
        return self._held.find(self._form.opening) + len(self._form.opening)

    def _certain(self) -> int:
        """How much of the held text cannot be the beginning of a call or white space before one."""
        opening = self._form.opening
        lengths = range(min(len(opening) - 1, len(self._held)), 0, -1)
        partial = next((n for n in lengths if self._held.endswith(opening[:n])), 0)
        return len(self._held[: len(self._held) - partial].rstrip())
