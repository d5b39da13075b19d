"""A chat turn from messages to text: resume, submit, watch, keep."""

import asyncio
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

from server.chat.aside import aside
from server.chat.completion import CompletionService
from server.chat.constraint import GrammarCompiler, turn_grammar
from server.chat.embedding import EmbeddingService
from server.chat.prompt import Layout, Segment
from server.chat.sampling import resolve
from server.chat.served import ServedModel
from server.chat.stops import TextWatcher
from server.chat.told import Told, paths
from server.chat.tools import Toolbox, toolbox
from server.chat.turn import Boundary, Prompt, Turn
from server.chat.types import Message, TurnRequest
from server.engine.client import EngineClient, EngineFull
from server.engine.constraint import Grammar
from server.engine.messages import Branch, Finished, Place, Sampling, Submit
from server.engine.observer import AnswerObserver
from server.engine.snapshot import NO_LINES, Snapshot
from server.errors import InvalidRequest, busy
from server.session import Key, Resumption, SessionManager


@dataclass(frozen=True, slots=True)
class _Ready:
    """A turn that can be submitted: what it continues, and the pieces that are left to read."""

    layout: Layout
    grammar: Grammar | None
    resumption: Resumption
    pieces: Sequence[tuple[int, ...]]

    @property
    def tokens(self) -> int:
        """Of the whole prompt."""
        return self.resumption.tokens + sum(map(len, self.pieces))

    @property
    def ids(self) -> tuple[int, ...]:
        """Of the whole prompt, as they were and are fed."""
        start = self.resumption.snapshot
        before = start.fed.to_list() if start is not None else []
        return (*before, *(token for piece in self.pieces for token in piece))


class ChatService:
    """Starts turns on one model.

    default_max_tokens applies where a request names none; max_prompt_tokens 0 is no limit,
    since a recurrent model has none of its own. beginning: what a conversation of which nothing
    is kept starts from; None is the empty state. observer: is told of every answer.
    """

    def __init__(
        self,
        model: ServedModel,
        engine: EngineClient,
        sessions: SessionManager,
        *,
        default_max_tokens: int,
        max_prompt_tokens: int = 0,
        beginning: Snapshot | None = None,
        observer: AnswerObserver | None = None,
    ) -> None:
        self.model = model
        self.beginning = beginning
        self._engine = engine
        self._sessions = sessions
        self._default_max_tokens = default_max_tokens
        self._max_prompt_tokens = max_prompt_tokens
        self._observer = observer
        self._running: set[asyncio.Task[None]] = set()
        self._grammars = GrammarCompiler(model.tokenizer, model.spec.vocab_size)
        self.completions = CompletionService(
            model.tokenizer,
            engine,
            sessions,
            model.fingerprint,
            max_prompt_tokens=max_prompt_tokens,
            beginning=beginning,
            grammars=self._grammars,
            observer=observer,
        )
        self.embeddings = EmbeddingService(
            model.tokenizer,
            engine,
            max_prompt_tokens=max_prompt_tokens,
            beginning=beginning,
            observer=observer,
        )

    @property
    def alive(self) -> bool:
        """The engine thread is running."""
        return self._engine.alive

    async def start(self, request: TurnRequest) -> Turn:
        """Admit a turn and start it. Raises InvalidRequest or Overloaded, having done nothing."""
        self._check_choices(request.choices)
        self._check_text(request.messages)
        with ExitStack() as reading:
            try:
                with self._engine.held(request.choices, request.priority):
                    ready = await self._prepared(request, reading)
                return self._started(request, ready, reading)
            except EngineFull:
                raise busy() from None

    async def _prepared(self, request: TurnRequest, reading: ExitStack) -> _Ready:
        """Until `reading` ends, others wait for the boundaries of this prompt."""
        tools = _toolbox(request)
        layout = self.model.lay_out(
            request.owner, request.messages, request.thinking, tools, goes_on=request.goes_on
        )
        grammar = await turn_grammar(self._grammars, request, tools, layout, self._stops(request))
        if grammar is not None and layout.calls is None and layout.phase == "start":
            layout = replace(layout, phase="answer")
        resumption = await self._resume(layout.keys)
        segments = layout.segments[resumption.segments :]
        if request.priority <= 0:  # nobody waits for what runs in the background
            ends = [s.key for s in segments if s.boundary and s.key is not None]
            reading.enter_context(self._sessions.reading(ends))
        pieces = await aside(partial(self._pieces, segments), sum(len(s.text) for s in segments))
        return _Ready(layout, grammar, resumption, pieces)

    def _started(self, request: TurnRequest, ready: _Ready, reading: ExitStack) -> Turn:
        self._check_length(ready.tokens)
        max_tokens = request.max_tokens or self._default_max_tokens
        sampling = resolve(
            request.sampling, self.model.template.sampling, self.model.tokenizer, max_tokens
        )
        watchers = tuple(self._watchers(request, ready.layout, sampling.min_tokens))
        submit = Submit(
            request=secrets.token_hex(12),
            start=ready.resumption.snapshot,
            pieces=tuple(ready.pieces),
            branches=tuple(self._branches(sampling, ready.grammar, watchers)),
            max_tokens=max_tokens,
            stop_ids=self._stop_ids(request),
            logprobs=request.logprobs,
            place=Place(request.caller, request.priority),
        )
        stream = self._engine.submit(submit, self._observer)
        turn = Turn(
            stream,
            self._prompt(request, ready),  # while the engine reads it
            self._sessions,
            watchers=watchers,
            reading=reading.pop_all(),
            retell=partial(self._retell, request),
            token_bytes=None if request.logprobs is None else self.model.tokenizer.token_bytes,
            prompt_ids=ready.ids if request.token_ids else None,
        )
        self._run(turn)
        return turn

    async def _resume(self, keys: Sequence[Key | None]) -> Resumption:
        found = await self._sessions.resume(keys)
        return found if found.snapshot is not None else Resumption(self.beginning)

    def _prompt(self, request: TurnRequest, ready: _Ready) -> Prompt:
        layout, resumption = ready.layout, ready.resumption
        left = [s for s in layout.segments[resumption.segments :] if s.boundary and s.key]
        answers = [message.role == "assistant" for message in request.messages]
        before = request.messages[:-1] if request.goes_on else request.messages
        walked = paths(self.model, request.owner, request.messages)
        ends = [*(path.before for path in walked[2:]), walked[-1].whole]  # of whole ones
        return Prompt(
            tokens=ready.tokens,
            cached=resumption.tokens,
            template=self.model.template,
            owner=(self.model.fingerprint, request.caller),
            messages_key=layout.key,
            start_key=layout.keys[resumption.segments - 1] if resumption.segments else None,
            boundaries=tuple(
                Boundary(s.key, len(piece), sum(answers[: s.message + 1]), ends[s.message])
                for s, piece in zip(left, ready.pieces, strict=True)
                if s.key is not None
            ),
            turns=sum(answers) + (not request.goes_on),
            key=layout.opening.key,
            told=Told(before, _toolbox(request).tools),
            path=walked[len(before)],
            past=resumption.snapshot.told if resumption.snapshot else NO_LINES,
            phase=layout.phase,
            calls=layout.calls,
            begun=layout.begun,
            echo=request.echo,
            keep_thinking=self.model.keep_thinking,
        )

    async def _retell(self, request: TurnRequest, told: Told) -> Snapshot | None:
        """The state of a conversation that ends in an answer, as if it had been written so.

        Fed again from the last boundary before it. None where the template has none at its end,
        or the server no room: a follow-up reads the answer then.
        """
        try:
            tools = _toolbox(request)
            history = self.model.lay_out(request.owner, told.messages, toolbox=tools).history
        except InvalidRequest:  # a template may want every conversation to end in a question
            return None
        if not history or history[-1].message != len(told.messages) - 1 or not history[-1].boundary:
            return None
        resumption = await self._resume([segment.key for segment in history])
        pieces = self._pieces(history[resumption.segments :])
        ids = [token for piece in pieces for token in piece]
        return await self._read(request, ids, resumption.snapshot) if ids else resumption.snapshot

    async def _read(
        self, request: TurnRequest, ids: Sequence[int], start: Snapshot | None
    ) -> Snapshot | None:
        """The state after `ids`; None if the engine is full or fails."""
        submit = Submit(
            request=secrets.token_hex(12),
            start=start,
            pieces=(tuple(ids),),
            branches=(Branch(Sampling(temperature=0), TextWatcher(self.model.tokenizer, ())),),
            max_tokens=0,
            stop_ids=frozenset(),
            place=Place(priority=request.priority),
        )
        try:
            stream = self._engine.submit(submit)
        except EngineFull:
            return None
        ends = [event.snapshot async for event in stream if isinstance(event, Finished)]
        return ends[0] if ends else None

    def _pieces(self, segments: Sequence[Segment]) -> list[tuple[int, ...]]:
        """Token ids of all segments, those between two boundaries joined."""
        pieces: list[tuple[int, ...]] = []
        ids: list[int] = []
        for segment in segments:
            ids += self.model.encode(segment)
            if segment.boundary:
                pieces.append(tuple(ids))
                ids = []
        return pieces

    def _check_choices(self, choices: int) -> None:
        if choices > self._engine.capacity:
            raise InvalidRequest(
                f"{choices} choices can never run here: slots and queue together take "
                f"{self._engine.capacity}",
                param="n",
            )

    def _check_text(self, messages: Sequence[Message]) -> None:
        for number, message in enumerate(messages):
            try:
                message.content.encode()
            except UnicodeEncodeError as error:
                raise InvalidRequest(
                    f"message {number} holds half of a surrogate pair, which is not Unicode",
                    param=f"messages.{number}.content",
                ) from error

    def _check_length(self, tokens: int) -> None:
        if 0 < self._max_prompt_tokens < tokens:
            raise InvalidRequest(
                f"the prompt has {tokens} tokens, and this server is set to take at most "
                f"{self._max_prompt_tokens}",
                param="messages",
                code="context_length_exceeded",
            )

    def _stop_ids(self, request: TurnRequest) -> frozenset[int]:
        ends = () if request.ignore_eos else (self.model.tokenizer.eos_id,)
        return frozenset((*ends, *request.stop_token_ids))

    def _watchers(
        self, request: TurnRequest, layout: Layout, min_tokens: int
    ) -> Iterator[TextWatcher]:
        for _ in range(request.choices):
            yield TextWatcher(
                self.model.tokenizer,
                self._stops(request),
                request.stop,
                layout.phase,
                trim=not layout.begun,
                calls=layout.calls,
                min_tokens=min_tokens,
            )

    def _branches(
        self, sampling: Sampling, grammar: Grammar | None, watchers: Sequence[TextWatcher]
    ) -> Iterator[Branch]:
        for number, watcher in enumerate(watchers):
            matcher = grammar.matcher() if grammar is not None else None
            yield Branch(replace(sampling, seed=sampling.seed + number), watcher, matcher)

    def _stops(self, request: TurnRequest) -> tuple[str, ...]:
        """Where an answer has to be something, that alone says where it ends."""
        free = request.constraint is None and not request.ignore_eos
        return self.model.template.stops if free else ()

    def _run(self, turn: Turn) -> None:
        """The turn goes on when nobody listens any more, so that its state is kept."""
        task = asyncio.create_task(turn.run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)


def _toolbox(request: TurnRequest) -> Toolbox:
    return toolbox(request.tools, request.tool_choice, parallel=request.parallel_tool_calls)
