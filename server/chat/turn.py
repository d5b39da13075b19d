"""One turn under way: engine events become text for the listener and snapshots for later."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from server.chat.template import Template
from server.chat.thinking import Phase, Said, ThoughtSplitter
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

    def __init__(self, phase: Phase) -> None:
        self.text = ""
        self.reasoning_tokens = 0
        self._tokens = 0
        self._splitter = ThoughtSplitter(phase)

    @property
    def thought(self) -> bool:
        return self._splitter.thought

    def push(self, text: str) -> Said:
        """Text of one more token."""
        answered = self._splitter.answering
        said = self._splitter.push(text)
        self._tokens += 1
        if self.thought and not answered:
            self.reasoning_tokens = self._tokens
        self.text += said.content
        return said

    def close(self, text: str) -> list[Said]:
        """The last text, and what was held back of all."""
        said = [self._splitter.push(text), self._splitter.close()]
        self.text += "".join(part.content for part in said)
        return said


class Turn:
    """Its run() consumes the engine's events, whether or not anyone reads events().

    retell makes the snapshot of an answer as if nothing had been thought before it; None keeps
    the state that did the thinking.
    """

    def __init__(
        self,
        stream: EventStream,
        prompt: Prompt,
        sessions: SessionManager,
        *,
        choices: int,
        retell: Retell | None = None,
    ) -> None:
        self.prompt_tokens = prompt.tokens
        self.cached_tokens = prompt.cached
        self._stream = stream
        self._prompt = prompt
        self._sessions = sessions
        self._answers = [_Answer(prompt.phase) for _ in range(choices)]
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
            case TokenSampled(_, branch, _, text):
                self._deliver(branch, self._answers[branch].push(text))
            case Finished():
                await self._finish(event)
            case Failed(_, message):
                self._queue.put_nowait(AnswerFailed(message))

    def _deliver(self, choice: int, said: Said) -> None:
        if said.reasoning:
            self._queue.put_nowait(ReasoningDelta(choice, said.reasoning))
        if said.content:
            self._queue.put_nowait(TextDelta(choice, said.content))

    async def _finish(self, event: Finished) -> None:
        """Keep the answer's snapshot before the listener can send the next turn."""
        answer = self._answers[event.branch]
        for said in answer.close(event.text):
            self._deliver(event.branch, said)
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
