"""One turn under way: engine events become text for the listener and snapshots for later."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from server.chat.answer import Answer
from server.chat.delivery import Delivery
from server.chat.failure import failure_of
from server.chat.path import Path
from server.chat.stops import TextWatcher
from server.chat.template import Template
from server.chat.thinking import Phase
from server.chat.tokens import TokenBytes, TokenLedger
from server.chat.told import Told
from server.chat.tools import ExpectedCalls
from server.chat.types import ChoiceEnd, TextDelta, TurnEvent
from server.engine.messages import BoundaryReached, Event, Failed, Finished, TokenSampled
from server.engine.snapshot import Lines, Snapshot
from server.engine.stream import EventStream
from server.errors import AnswerFailed
from server.session import Key, Owner, SessionManager, extend

log = logging.getLogger(__name__)

LONG = 64
"""Tokens of a piece whose end is worth writing; a shorter one is read again where only the archive
is left. See docs/decisions/0042."""

Retell = Callable[[Told], Awaitable[Snapshot | None]]


@dataclass(frozen=True, slots=True)
class Boundary:
    """Where a piece of so many tokens ends; turns: answers up to there; path: see Entry."""

    key: Key
    tokens: int
    turns: int
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt consists of: `cached` of its `tokens` come from a snapshot.

    boundaries are the ends of the submitted pieces; start_key names where they start;
    messages_key names the conversation without what makes the model answer, `key` with it.
    phase: what the answer begins with. calls: those it may have. turns: answers there are with
    this one. begun: the words that the answer goes on from; echo: and is told with. told: the
    messages, path: theirs; past: what is told of the snapshot. keep_thinking: a follow-up
    remembers the thoughts.
    """

    tokens: int
    cached: int
    template: Template
    owner: Owner
    messages_key: Key
    start_key: Key | None
    boundaries: tuple[Boundary, ...]
    turns: int
    key: Key | None
    told: Told
    path: Path
    past: Lines
    phase: Phase
    calls: ExpectedCalls | None = None
    begun: str = ""
    echo: bool = False
    keep_thinking: bool = True


class Turn:
    """Its run() consumes the engine's events, whether or not anyone reads events().

    reading: entered already; left when the turn has ended.
    retell makes the snapshot of a conversation as if its answer had been written as it is told,
    without thoughts or a call that was cut too early; None where it cannot be made. token_bytes:
    given where the content's tokens are wanted.
    prompt_ids: given where ids are wanted; answer_ids are all that was sampled for each choice,
    by the time of its ChoiceEnd.
    """

    def __init__(
        self,
        stream: EventStream,
        prompt: Prompt,
        sessions: SessionManager,
        *,
        watchers: Sequence[TextWatcher],
        reading: AbstractContextManager[object],
        retell: Retell,
        token_bytes: TokenBytes | None = None,
        prompt_ids: tuple[int, ...] | None = None,
    ) -> None:
        self.prompt_ids = prompt_ids
        self.answer_ids: list[list[int]] = [[] for _ in watchers]
        self.prompt_tokens = prompt.tokens
        self.cached_tokens = prompt.cached
        self._stream = stream
        self._prompt = prompt
        self._reading = reading
        self._sessions = sessions
        trim = not prompt.begun
        ledgers = (token_bytes and TokenLedger(token_bytes, trim=trim) for _ in watchers)
        self._watchers = watchers
        self._answers = [
            Answer(choice, prompt.phase, ledger, prompt.calls, prompt.begun)
            for choice, ledger in enumerate(ledgers)
        ]
        self._retell = retell
        self._delivery: Delivery[TurnEvent] = Delivery(late=stream.cancel)
        if prompt.echo:
            self._deliver(TextDelta(choice, prompt.begun) for choice in range(len(watchers)))
        self._ended = False
        stream.hear(self._sampled)

    def events(self) -> AsyncIterator[TurnEvent]:
        """Text and ends of all choices, in order of time. Raises AnswerFailed."""
        return self._delivery.events()

    async def begun(self, seconds: float) -> None:
        """See Delivery."""
        await self._delivery.begun(seconds)

    async def started(self) -> bool:
        """Wait until something is computed; False where the turn ends before that."""
        return await self._stream.admitted()

    def cancel(self) -> None:
        """Free the slots within one step; what was computed is kept."""
        if not self._ended:
            self._stream.cancel()

    async def run(self) -> None:
        """Until the last choice has ended and its snapshot is kept."""
        try:
            with self._reading:
                async for event in self._stream:
                    await self._handle(event)
        except Exception:
            log.exception("a turn broke")
            self._stream.cancel()
            self._delivery.fail(AnswerFailed("the answer could not be completed"))
        finally:
            self._ended = True
            self._delivery.end()

    async def _handle(self, event: Event) -> None:
        match event:
            case BoundaryReached(_, piece, snapshot):
                ends, owner = self._prompt.boundaries, self._prompt.owner
                parent = ends[piece - 1].key if piece else self._prompt.start_key
                end = ends[piece]
                self._sessions.keep(
                    *(owner, end.key, snapshot, parent),
                    turns=end.turns,
                    path=end.path,
                    durable=end.tokens >= LONG,
                )
            case Finished():
                await self._finish(event)
            case Failed():
                self._delivery.fail(failure_of(event))

    def _sampled(self, events: Sequence[TokenSampled]) -> None:
        for branch, answer in enumerate(self._answers):
            own = [event for event in events if event.branch == branch]
            self.answer_ids[branch] += [event.token for event in own]
            told = list(answer.push(own))
            self._deliver(told, len(own) / len(told) if told else 0)

    def _deliver(self, events: Iterable[TurnEvent], tokens: float = 1) -> None:
        """tokens: that each tells of, in the mean."""
        for event in events:
            self._delivery.put(event, tokens)

    async def _finish(self, event: Finished) -> None:
        """Keep the answer's snapshot, for good, before the listener can send the next turn."""
        answer = self._answers[event.branch]
        if event.stop_token is not None:
            self.answer_ids[event.branch].append(event.stop_token)
        *last, end = answer.close(event)
        assert isinstance(end, ChoiceEnd)
        self._deliver(last)
        if event.snapshot is not None:
            await self._keep(answer, event.snapshot)
        # The engine thread has done with the watcher.
        self._delivery.put(replace(end, stop=self._watchers[event.branch].stop))

    async def _keep(self, answer: Answer, ended: Snapshot) -> None:
        message = answer.message
        prompt = self._prompt
        told = prompt.told.then(message)
        retold = answer.unsaid or (answer.thought and not prompt.keep_thinking)
        snapshot = await self._retell(told) if retold else ended
        if snapshot is not None:
            said = prompt.template.canonical(message)
            self._sessions.keep(
                prompt.owner,
                extend(prompt.messages_key, *said),
                replace(snapshot, told=told.dump(prompt.past)),
                prompt.key,
                turns=prompt.turns,
                path=prompt.path.then(*said).whole,
            )
            await self._sessions.kept()
