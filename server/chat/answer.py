"""One choice of a turn: the text that the engine delivers becomes events for the listener."""

from collections.abc import Iterator, Sequence

from server.chance import fresh_hex
from server.chat.thinking import Phase, Said, ThoughtSplitter
from server.chat.tokens import TextToken, TokenLedger
from server.chat.tools import (
    CallPiece,
    CallSplitter,
    ContentPiece,
    ExpectedCalls,
    InputReader,
    Piece,
)
from server.chat.types import (
    ChoiceEnd,
    Message,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    TurnEvent,
)
from server.engine.messages import Finished, TokenSampled


class _Call:
    """A call while it is written."""

    def __init__(self, id: str, name: str, custom: bool) -> None:
        self.id = id
        self.name = name
        self.custom = custom
        self._arguments: list[str] = []
        self._input = InputReader() if custom else None

    @property
    def said(self) -> ToolCall:
        return ToolCall(self.id, self.name, "".join(self._arguments), self.custom)

    def push(self, arguments: str) -> str:
        """What there is to tell of them."""
        self._arguments.append(arguments)
        return arguments if self._input is None else self._input.push(arguments)


class Answer:
    """What has been said so far.

    ledger: given where the content's tokens are wanted. begun: the words that it goes on from.
    """

    def __init__(
        self,
        choice: int,
        phase: Phase,
        ledger: TokenLedger | None,
        calls: ExpectedCalls | None = None,
        begun: str = "",
    ) -> None:
        self._begun = begun
        self._choice = choice
        self._ledger = ledger
        self._thoughts = ThoughtSplitter(phase, trim=not begun)
        self._splitter = CallSplitter(calls) if calls is not None else None
        self._text = ""
        self._custom = calls.custom if calls is not None else frozenset()
        self._calls: list[_Call] = []
        self._start = self._end = 0  # of the content's latest unbroken part, in the answer
        self._tokens = 0
        self._reasoning_tokens = 0

    @property
    def thought(self) -> bool:
        return self._thoughts.thought

    @property
    def unsaid(self) -> bool:
        """The model has begun a call that is no part of the message, as it was cut too early."""
        return self._splitter is not None and self._splitter.unsaid

    @property
    def message(self) -> Message:
        """As it was delivered, behind the words that it goes on from."""
        calls = tuple(call.said for call in self._calls)
        return Message("assistant", self._begun + self._text, calls)

    def push(self, events: Sequence[TokenSampled]) -> Iterator[TurnEvent]:
        """More tokens; those of them that say nothing but text are told as one."""
        for at, event in enumerate(events):
            if self._flows:
                yield from self._flow(events[at:])
                return
            yield from self._push(event)

    @property
    def _flows(self) -> bool:
        """All that is still to come is text, whose tokens nobody asks for."""
        return self._ledger is None and self._splitter is None and self._thoughts.flows

    def _flow(self, events: Sequence[TokenSampled]) -> Iterator[TextDelta]:
        self._tokens += len(events)
        text = "".join([event.text for event in events])
        if text:
            self._text += text
            yield TextDelta(self._choice, text)

    def _push(self, event: TokenSampled) -> Iterator[TurnEvent]:
        if self._ledger is not None:
            self._ledger.push(event.token, event.logprob)
        answered = self._thoughts.answering
        said = self._thoughts.push(event.text)
        self._tokens += 1
        if self.thought and not answered:
            self._reasoning_tokens = self._tokens
        yield from self._events(said.reasoning, self._pieces(said))
        yield from self._late_tokens(cut=False)

    def close(self, event: Finished) -> Iterator[TurnEvent]:
        """The last text, what was held back of all, and the end."""
        last, held = self._thoughts.push(event.text), self._thoughts.close()
        said = Said(last.reasoning + held.reasoning, last.content + held.content)
        pieces = self._pieces(said)
        if self._splitter is not None:
            pieces += self._splitter.close(cut=event.reason != "stop")
        yield from self._events(said.reasoning, pieces)
        yield from self._late_tokens(cut=True)
        whole = self._splitter is None or not self._splitter.within_call
        called = self._calls and whole and event.reason == "stop"
        reason = "tool_calls" if called else event.reason
        yield ChoiceEnd(self._choice, reason, event.sampled, self._reasoning_tokens)

    def _pieces(self, said: Said) -> list[Piece]:
        if self._splitter is not None:
            return self._splitter.push(said.content)
        return [ContentPiece(said.content, len(self._text))] if said.content else []

    def _events(self, reasoning: str, pieces: list[Piece]) -> Iterator[TurnEvent]:
        if reasoning:
            yield ReasoningDelta(self._choice, reasoning)
        for piece in pieces:
            match piece:
                case ContentPiece(text, at):
                    self._start = self._start if at == self._end else at
                    self._end = at + len(text)
                    self._text += text
                    yield TextDelta(self._choice, text, self._take())
                case CallPiece():
                    yield from self._late_tokens(cut=True)
                    yield from self._call(piece)

    def _call(self, piece: CallPiece) -> Iterator[ToolCallDelta]:
        """A custom tool's text is told, where all other calls have their arguments."""
        if piece.name is not None:
            custom = piece.name in self._custom
            call = _Call(f"call_{fresh_hex(12)}", piece.name, custom)
            self._calls.append(call)
            yield ToolCallDelta(self._choice, piece.index, "", call.id, call.name, custom)
            return
        call = self._calls[piece.index]
        if more := call.push(piece.arguments):
            yield ToolCallDelta(self._choice, piece.index, more, custom=call.custom)

    def _late_tokens(self, *, cut: bool) -> Iterator[TextDelta]:
        """Tokens that were complete only after their text had been delivered."""
        tokens = self._take(cut=cut)
        if tokens:
            yield TextDelta(self._choice, "", tokens)

    def _take(self, *, cut: bool = False) -> tuple[TextToken, ...]:
        """The next tokens of the content; see TokenLedger.take."""
        if self._ledger is None or not self._text:
            return ()
        before = self._ledger.blank + (self._thoughts.answer_at or 0)
        start, end = (max(before + place, 0) for place in (self._start, self._end))
        return self._ledger.take(start, end, cut=cut)
