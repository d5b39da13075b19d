"""One turn under way: engine events become text for the listener and snapshots for later."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from server.chat.template import Template
from server.chat.types import ChoiceEnd, Message, TextDelta, TurnEvent
from server.engine.client import EventStream
from server.engine.messages import BoundaryReached, Event, Failed, Finished, TokenSampled
from server.errors import AnswerFailed
from server.session import Key, SessionManager, extend

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt consists of: `cached` of its `tokens` come from a snapshot.

    boundary_keys name the ends of the submitted pieces; start_key names where they start;
    messages_key names the conversation without the answer's header, `key` with it.
    """

    tokens: int
    cached: int
    template: Template
    messages_key: Key
    start_key: Key | None
    boundary_keys: tuple[Key, ...]
    key: Key


class Turn:
    """Its run() consumes the engine's events, whether or not anyone reads events()."""

    def __init__(
        self, stream: EventStream, prompt: Prompt, sessions: SessionManager, *, choices: int
    ) -> None:
        self.prompt_tokens = prompt.tokens
        self.cached_tokens = prompt.cached
        self._stream = stream
        self._prompt = prompt
        self._sessions = sessions
        self._texts = [""] * choices
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
                self._handle(event)
        except Exception:
            log.exception("a turn broke")
            self._stream.cancel()
            self._queue.put_nowait(AnswerFailed("the answer could not be completed"))
        finally:
            self._ended = True
            self._queue.put_nowait(None)

    def _handle(self, event: Event) -> None:
        match event:
            case BoundaryReached(_, piece, snapshot):
                keys = self._prompt.boundary_keys
                parent = keys[piece - 1] if piece else self._prompt.start_key
                self._sessions.keep(keys[piece], snapshot, parent)
            case TokenSampled(_, branch, _, text):
                self._deliver(branch, text)
            case Finished():
                self._finish(event)
            case Failed(_, message):
                self._queue.put_nowait(AnswerFailed(message))

    def _deliver(self, choice: int, text: str) -> None:
        if text:
            self._texts[choice] += text
            self._queue.put_nowait(TextDelta(choice, text))

    def _finish(self, event: Finished) -> None:
        """Keep the answer's snapshot before the listener can send the next turn."""
        self._deliver(event.branch, event.text)
        if event.snapshot is not None:
            answer = Message("assistant", self._texts[event.branch])
            key = extend(self._prompt.messages_key, *self._prompt.template.canonical(answer))
            self._sessions.keep(key, event.snapshot, self._prompt.key)
        self._queue.put_nowait(ChoiceEnd(event.branch, event.reason, event.sampled))
