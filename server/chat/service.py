"""A chat turn from messages to text: resume, submit, watch, keep."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from server.chat.aside import aside
from server.chat.checks import check_choices, check_length, check_text
from server.chat.completion import CompletionService
from server.chat.constraint import GrammarCompiler, turn_grammar
from server.chat.embedding import EmbeddingService
from server.chat.ready import Ready, pieces, turn_prompt
from server.chat.retelling import Retelling
from server.chat.sampling import resolve
from server.chat.served import ServedModel
from server.chat.submission import stops_of, submission, watchers_of
from server.chat.tools import toolbox_of
from server.chat.turn import Retell, Turn
from server.chat.types import TurnRequest
from server.engine.client import EngineClient, EngineFull
from server.engine.observer import AnswerObserver
from server.engine.snapshot import Snapshot
from server.errors import busy
from server.session import Key, Resumption, SessionManager


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
        check_choices(request.choices, self._engine.capacity)
        check_text(request.messages)
        with ExitStack() as reading:
            try:
                with self._engine.held(request.choices, request.priority):
                    ready = await self._prepared(request, reading)
                return self._started(request, ready, reading)
            except EngineFull:
                raise busy() from None

    async def _prepared(self, request: TurnRequest, reading: ExitStack) -> Ready:
        """Until `reading` ends, others wait for the boundaries of this prompt."""
        tools = toolbox_of(request)
        layout = self.model.lay_out(
            request.owner, request.messages, request.thinking, tools, goes_on=request.goes_on
        )
        grammar = await turn_grammar(
            self._grammars, request, tools, layout, stops_of(self.model, request)
        )
        if grammar is not None and layout.calls is None and layout.phase == "start":
            layout = replace(layout, phase="answer")
        resumption = await self._resume(layout.keys)
        segments = layout.segments[resumption.segments :]
        if request.priority <= 0:  # nobody waits for what runs in the background
            ends = [s.key for s in segments if s.boundary and s.key is not None]
            reading.enter_context(self._sessions.reading(ends))
        encode = partial(pieces, self.model, segments)
        left = await aside(encode, sum(len(s.text) for s in segments))
        return Ready(layout, grammar, resumption, left)

    def _started(self, request: TurnRequest, ready: Ready, reading: ExitStack) -> Turn:
        check_length(ready.tokens, self._max_prompt_tokens)
        max_tokens = request.max_tokens or self._default_max_tokens
        sampling = resolve(
            request.sampling, self.model.template.sampling, self.model.tokenizer, max_tokens
        )
        watchers = tuple(watchers_of(self.model, request, ready.layout, sampling.min_tokens))
        submit = submission(self.model, request, ready, sampling, watchers, max_tokens)
        stream = self._engine.submit(submit, self._observer)
        turn = Turn(
            stream,
            turn_prompt(self.model, request, ready),  # while the engine reads it
            self._sessions,
            watchers=watchers,
            reading=reading.pop_all(),
            retell=self._retell(request),
            token_bytes=None if request.logprobs is None else self.model.tokenizer.token_bytes,
            prompt_ids=ready.ids if request.token_ids else None,
        )
        self._run(turn)
        return turn

    def _retell(self, request: TurnRequest) -> Retell:
        # Made anew: kept here, it would hold the service, and the model with it, in a cycle.
        return partial(Retelling(self.model, self._engine, self._resume).retell, request)

    async def _resume(self, keys: Sequence[Key | None]) -> Resumption:
        found = await self._sessions.resume(keys)
        return found if found.snapshot is not None else Resumption(self.beginning)

    def _run(self, turn: Turn) -> None:
        """The turn goes on when nobody listens any more, so that its state is kept."""
        task = asyncio.create_task(turn.run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
