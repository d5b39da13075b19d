"""One turn under way: engine events become text for the listener and snapshots for later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass

from server.chat.answer import Answer
from server.chat.failure import failure_of
from server.chat.template import Template
from server.chat.thinking import Phase
from server.chat.tokens import TokenBytes, TokenLedger
from server.chat.tools import ExpectedCalls
from server.chat.types import Message, TurnEvent
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
    phase: what the answer begins with. calls: those it may have.
    """

    tokens: int
    cached: int
    template: Template
    messages_key: Key
    start_key: Key | None
    boundary_keys: tuple[Key, ...]
    key: Key | None
    phase: Phase
    calls: ExpectedCalls | None = None


class Turn:
    """Its run() consumes the engine's events, whether or not anyone reads events().

    retell makes the snapshot of an answer as if nothing had been thought before it; None keeps
    the state that did the thinking. token_bytes: given where the content's tokens are wanted.
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
    ) -> None:
        self.prompt_tokens = prompt.tokens
        self.cached_tokens = prompt.cached
        self._stream = stream
        self._prompt = prompt
        self._sessions = sessions
        ledgers = (token_bytes and TokenLedger(token_bytes) for _ in range(choices))
        self._answers = [
            Answer(choice, prompt.phase, ledger, prompt.calls)
            for choice, ledger in enumerate(ledgers)
        ]
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
                self._deliver(self._answers[branch].push(event))
            case Finished():
                await self._finish(event)
            case Failed():
                self._queue.put_nowait(failure_of(event))

    def _deliver(self, events: Iterable[TurnEvent]) -> None:
        for event in events:
            self._queue.put_nowait(event)

    async def _finish(self, event: Finished) -> None:
        """Keep the answer's snapshot before the listener can send the next turn."""
        answer = self._answers[event.branch]
        *last, end = answer.close(event)
        self._deliver(last)
        if event.snapshot is not None:
            await self._keep(answer, event.snapshot)
        self._queue.put_nowait(end)

    async def _keep(self, answer: Answer, ended: Snapshot) -> None:
        message = answer.message
        retold = self._retell is not None and answer.thought
        snapshot = await self._retell(message) if self._retell and retold else ended
        if snapshot is not None:
            key = extend(self._prompt.messages_key, *self._prompt.template.canonical(message))
            self._sessions.keep(key, snapshot, self._prompt.key)
