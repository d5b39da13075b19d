"""Completions under way: engine events become text with its tokens, and snapshots for later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from server.chat.delivery import Delivery
from server.chat.failure import failure_of
from server.chat.tokens import TextToken, TokenBytes, TokenLedger
from server.chat.types import ChoiceEnd, TextDelta
from server.engine.messages import (
    BoundaryReached,
    Event,
    Failed,
    Finished,
    PromptScored,
    TokenLogprob,
    TokenSampled,
)
from server.engine.snapshot import Snapshot
from server.engine.stream import EventStream
from server.errors import AnswerFailed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EchoDelta:
    """The prompt as the first part of one choice; tokens: if likelihoods were asked for."""

    choice: int
    text: str
    tokens: tuple[TextToken, ...] = ()


CompletionEvent = EchoDelta | TextDelta | ChoiceEnd
Keep = Callable[[Snapshot, int], None]
Kept = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Continued:
    """A prompt: its ids, of which `start` was fed the first `cached`, and its text."""

    ids: tuple[int, ...]
    text: str
    start: Snapshot | None

    @property
    def cached(self) -> int:
        return self.start.tokens if self.start else 0


class _Answer:
    """One choice so far."""

    def __init__(self, ledger: TokenLedger) -> None:
        self._ledger = ledger
        self._length = 0

    def push(self, event: TokenSampled) -> tuple[TextToken, ...]:
        self._ledger.push(event.token, event.logprob)
        self._length += len(event.text)
        return self._ledger.take(0, self._length)

    def close(self, event: Finished) -> tuple[TextToken, ...]:
        """The last tokens, a stop token included; a stop string takes what lies behind it away."""
        if event.stop_token is not None:
            self._ledger.push(event.stop_token, event.logprob)
        elif event.reason == "stop":
            return self._ledger.take(0, self._length + len(event.text), cut=True)
        return self._ledger.rest()


class Continuing:
    """One prompt and the choices that continue it, `numbers` in the whole completion.

    keep: keeps a snapshot that continues so many ids, for whoever resends them; kept waits until
    it would survive this process. scored: the prompt's likelihoods are waited for before it is
    echoed, and nothing is kept, as texts are
    scored by the thousand and not gone on with.
    """

    def __init__(
        self,
        stream: EventStream,
        prompt: Continued,
        numbers: range,
        *,
        token_bytes: TokenBytes,
        keep: Keep,
        kept: Kept,
        echo: bool,
        scored: bool,
    ) -> None:
        self.stream = stream
        self.prompt = prompt
        self.numbers = numbers
        self._token_bytes = token_bytes
        self._keep = keep
        self._kept = kept
        self._echo = echo
        self._scored = scored
        self._scores: list[TokenLogprob | None] = []
        shown = len(prompt.text) if echo else 0
        self._answers = [_Answer(TokenLedger(token_bytes, offset=shown)) for _ in numbers]

    async def events(self) -> AsyncIterator[CompletionEvent]:
        """Raises AnswerFailed."""
        if self._echo and not self._scored:
            for delta in self._prompt():
                yield delta
        async for reported in self.stream:
            for event in self._handle(reported):
                if isinstance(event, ChoiceEnd) and not self._scored:
                    await self._kept()
                yield event

    def _handle(self, event: Event) -> Iterator[CompletionEvent]:
        match event:
            case BoundaryReached(_, _, snapshot):
                if not self._scored:
                    self._keep(snapshot, self.prompt.cached)
            case PromptScored(_, scores):
                self._scores += scores
                if len(self._scores) == len(self.prompt.ids):
                    yield from self._prompt()
            case TokenSampled(_, branch, _, text):
                tokens = self._answers[branch].push(event)
                if text or tokens:
                    yield TextDelta(self.numbers[branch], text, tokens)
            case Finished():
                yield from self._finish(event)
            case Failed():
                raise failure_of(event)

    def _prompt(self) -> Iterator[EchoDelta]:
        ledger = TokenLedger(self._token_bytes)
        for token, logprob in zip(self.prompt.ids, self._scores, strict=False):
            ledger.push(token, logprob)
        tokens = ledger.rest()
        for number in self.numbers:
            yield EchoDelta(number, self.prompt.text, tokens)

    def _finish(self, event: Finished) -> Iterator[CompletionEvent]:
        number = self.numbers[event.branch]
        tokens = self._answers[event.branch].close(event)
        if event.text or tokens:
            yield TextDelta(number, event.text, tokens)
        read, ended = len(self.prompt.ids), event.snapshot
        if ended is not None and ended.tokens > read and not self._scored:
            self._keep(ended, read)
        yield ChoiceEnd(number, event.reason, event.sampled)


class Completion:
    """Its run() consumes the engine's events, whether or not anyone reads events().

    reading: holds while the prompts are read.
    """

    def __init__(self, texts: Sequence[Continuing], reading: AbstractContextManager[None]) -> None:
        self.prompt_ids = [text.prompt.ids for text in texts]
        self.prompt_tokens = sum(map(len, self.prompt_ids))
        self.cached_tokens = sum(text.prompt.cached for text in texts)
        self._texts = texts
        self._reading = reading
        self._delivery: Delivery[CompletionEvent] = Delivery(late=self.cancel)
        self._ended = False

    def events(self) -> AsyncIterator[CompletionEvent]:
        """Text and ends of all choices, in order of time. Raises AnswerFailed."""
        return self._delivery.events()

    async def begun(self, seconds: float) -> None:
        """See Delivery."""
        await self._delivery.begun(seconds)

    def cancel(self) -> None:
        """Free the slots within one step; what was computed is kept."""
        if not self._ended:
            for text in self._texts:
                text.stream.cancel()

    async def run(self) -> None:
        """Until the last choice has ended and its snapshot is kept."""
        try:
            with self._reading:
                await asyncio.gather(*(self._follow(text) for text in self._texts))
        finally:
            self._ended = True
            self._delivery.end()

    async def _follow(self, text: Continuing) -> None:
        try:
            async for event in text.events():
                self._delivery.put(event)
        except AnswerFailed as error:
            self._fail(error)
        except Exception:
            log.exception("a completion broke")
            self._fail(AnswerFailed("the answer could not be completed"))

    def _fail(self, error: AnswerFailed) -> None:
        """One answer that breaks ends all."""
        self._delivery.fail(error)
        self.cancel()
