"""One turn under way: engine events become text for the listener and snapshots for later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from server.chat.failure import failure_of
from server.chat.template import Template
from server.chat.thinking import Phase, Said, ThoughtSplitter
from server.chat.tokens import TextToken, TokenBytes, TokenLedger
from server.chat.types import ChoiceEnd, Message, ReasoningDelta, TextDelta, TurnEvent
from server.engine.client import EventStream
from server.engine.messages import BoundaryReached, Event, Failed, Finished, TokenSampled
from server.engine.snapshot import Snapshot
from server.errors import AnswerFailed
from server.session import Key, SessionManager, extend

log = logging.getLogger(__name__)

Retell = Callable[[Message], Awaitable[Snapshot | None]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt consists of: `cached` of its `tokens` come from a snapshot.

    boundary_keys name the ends of the submitted pieces; start_key names where they start;
    messages_key names the conversation without what makes the model answer, `key` with it.
    phase: what the answer begins with.
    """

    tokens: int
    cached: int
    template: Template
    messages_key: Key
    start_key: Key | None
    boundary_keys: tuple[Key, ...]
    key: Key | None
    phase: Phase


class _Answer:
    """One choice so far."""

    def __init__(self, phase: Phase, ledger: TokenLedger | None) -> None:
        self.text = ""
        self.reasoning_tokens = 0
        self._ledger = ledger
        self._tokens = 0
        self._splitter = ThoughtSplitter(phase)

    @property
    def thought(self) -> bool:
        return self._splitter.thought

    def push(self, event: TokenSampled) -> Said:
        """One more token."""
        if self._ledger is not None:
            self._ledger.push(event.token, event.logprob)
        answered = self._splitter.answering
        said = self._splitter.push(event.text)
        self._tokens += 1
        if self.thought and not answered:
            self.reasoning_tokens = self._tokens
        self.text += said.content
        return said

    def tokens(self, *, cut: bool = False) -> tuple[TextToken, ...]:
        """The next tokens of the content; see TokenLedger.take."""
        if self._ledger is None or not self.text:
            return ()
        start = self._ledger.blank + (self._splitter.answer_at or 0)
        return self._ledger.take(start, start + len(self.text), cut=cut)

    def close(self, text: str) -> Said:
        """The last text, and what was held back of all."""
        last, held = self._splitter.push(text), self._splitter.close()
        said = Said(last.reasoning + held.reasoning, last.content + held.content)
        self.text += said.content
        return said


class Turn:
    """Its run() consumes the engine's events, whether or not anyone reads events().

    retell makes the snapshot of an answer as if nothing had been thought before it; None keeps
    the state that did the thinking. token_bytes: given where the content's tokens are wanted.
    prompt_ids: given where ids are wanted; answer_ids are all that was sampled for each choice,
    by the time of its ChoiceEnd.
    """

    def __init__(
        self,
        stream: EventStream,
        prompt: Prompt,
        sessions: SessionManager,
        *,
        choices: int,
        retell: Retell | None = None,
        token_bytes: TokenBytes | None = None,
        prompt_ids: tuple[int, ...] | None = None,
    ) -> None:
        self.prompt_ids = prompt_ids
        self.answer_ids: list[list[int]] = [[] for _ in range(choices)]
        self.prompt_tokens = prompt.tokens
        self.cached_tokens = prompt.cached
        self._stream = stream
        self._prompt = prompt
        self._sessions = sessions
        ledgers = (token_bytes and TokenLedger(token_bytes) for _ in range(choices))
        self._answers = [_Answer(prompt.phase, ledger) for ledger in ledgers]
        self._retell = retell
        self._queue: asyncio.Queue[TurnEvent | AnswerFailed | None] = asyncio.Queue()
        self._ended = False

    async def events(self) -> AsyncIterator[TurnEvent]:
        """Text and ends of all choices, in order of time. Raises AnswerFailed."""
        while (event := await self._queue.get()) is not None:
            if isinstance(event, AnswerFailed):
                raise event
            yield event

    def cancel(self) -> None:
        """Free the slots within one step; what was computed is kept."""
        if not self._ended:
            self._stream.cancel()

    async def run(self) -> None:
        """Until the last choice has ended and its snapshot is kept."""
        try:
            async for event in self._stream:
                await self._handle(event)
        except Exception:
            log.exception("a turn broke")
            self._stream.cancel()
            self._queue.put_nowait(AnswerFailed("the answer could not be completed"))
        finally:
            self._ended = True
            self._queue.put_nowait(None)

    async def _handle(self, event: Event) -> None:
        match event:
            case BoundaryReached(_, piece, snapshot):
                keys = self._prompt.boundary_keys
                parent = keys[piece - 1] if piece else self._prompt.start_key
                self._sessions.keep(keys[piece], snapshot, parent)
            case TokenSampled(_, branch):
                self.answer_ids[branch].append(event.token)
                said = self._answers[branch].push(event)
                self._deliver(branch, said, self._answers[branch].tokens())
            case Finished():
                await self._finish(event)
            case Failed():
                self._queue.put_nowait(failure_of(event))

    def _deliver(self, choice: int, said: Said, tokens: tuple[TextToken, ...]) -> None:
        if said.reasoning:
            self._queue.put_nowait(ReasoningDelta(choice, said.reasoning))
        if said.content or tokens:
            self._queue.put_nowait(TextDelta(choice, said.content, tokens))

    async def _finish(self, event: Finished) -> None:
        """Keep the answer's snapshot before the listener can send the next turn."""
        answer = self._answers[event.branch]
        if event.stop_token is not None:
            self.answer_ids[event.branch].append(event.stop_token)
        self._deliver(event.branch, answer.close(event.text), answer.tokens(cut=True))
        if event.snapshot is not None:
            await self._keep(answer, event.snapshot)
        self._queue.put_nowait(
            ChoiceEnd(event.branch, event.reason, event.sampled, answer.reasoning_tokens)
        )

    async def _keep(self, answer: _Answer, ended: Snapshot) -> None:
        message = Message("assistant", answer.text)
        retold = self._retell is not None and answer.thought
        snapshot = await self._retell(message) if self._retell and retold else ended
        if snapshot is not None:
            key = extend(self._prompt.messages_key, *self._prompt.template.canonical(message))
            self._sessions.keep(key, snapshot, self._prompt.key)
