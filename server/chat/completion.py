"""Raw text and token ids continued, without any template: resume, submit, keep."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from models.tokenizer import Tokenizer, TokenizerError
from server.chance import fresh_hex
from server.chat.aside import aside
from server.chat.completion_turn import Completion, Continued, Continuing
from server.chat.constraint import GrammarCompiler, answer_grammar, endless
from server.chat.sampling import resolve
from server.chat.stops import TextWatcher
from server.chat.types import Constraint, SamplingOptions, salted
from server.engine.client import EngineClient, EngineFull
from server.engine.constraint import Grammar
from server.engine.messages import Branch, Place, Submit
from server.engine.observer import AnswerObserver
from server.engine.snapshot import Snapshot
from server.engine.stream import EventStream
from server.errors import InvalidRequest, busy
from server.session import SessionManager


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Prompts, as text or as ids of the vocabulary, and how each is continued.

    choices: to each prompt. logprobs: alternatives to report with every token's likelihood, those
    of the prompts too if they are echoed; None reports nothing. ranked: each choice's tokens have
    their likelihoods, asked for or not. max_tokens 0 reads the prompts.
    """

    caller: str
    prompts: tuple[str | tuple[int, ...], ...]
    choices: int = 1
    ranked: bool = False
    max_tokens: int = 16
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    logprobs: int | None = None
    echo: bool = False
    constraint: Constraint | None = None
    priority: int = 0
    salt: str = ""

    @property
    def owner(self) -> str:
        """Whose states can be resumed."""
        return salted(self.caller, self.salt)

    @property
    def scores_prompts(self) -> bool:
        return self.echo and self.logprobs is not None


class CompletionService:
    """Starts completions on one model; see ChatService for what it is given."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        engine: EngineClient,
        sessions: SessionManager,
        fingerprint: str,
        *,
        max_prompt_tokens: int,
        beginning: Snapshot | None,
        grammars: GrammarCompiler,
        observer: AnswerObserver | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._engine = engine
        self._sessions = sessions
        self._fingerprint = fingerprint
        self._max_prompt_tokens = max_prompt_tokens
        self._beginning = beginning
        self._grammars = grammars
        self._observer = observer
        self._running: set[asyncio.Task[None]] = set()

    async def start(self, request: CompletionRequest) -> Completion:
        """Admit all prompts and start them. Raises InvalidRequest or Overloaded, with none."""
        answers = self._answers(request)
        try:
            with self._engine.held(answers, request.priority):
                grammar = await self._grammar(request)
                read = await aside(partial(self._read, request), sum(map(len, request.prompts)))
                prompts = [await self._resumed(request, *prompt) for prompt in read]
            streams = [self._submit(request, prompt, grammar) for prompt in prompts]
        except EngineFull:
            raise busy() from None
        return self._started(request, prompts, streams)

    def _started(
        self,
        request: CompletionRequest,
        prompts: Sequence[Continued],
        streams: Sequence[EventStream],
    ) -> Completion:
        owner = self._fingerprint, request.owner
        texts = [
            Continuing(
                stream,
                prompt,
                range(number * request.choices, (number + 1) * request.choices),
                token_bytes=self._tokenizer.token_bytes,
                keep=partial(self._sessions.keep_ids, owner),
                kept=self._sessions.kept,
                echo=request.echo,
                scored=request.scores_prompts,
            )
            for number, (stream, prompt) in enumerate(zip(streams, prompts, strict=True))
        ]
        # Nobody waits for what runs in the background, nor for what is not kept.
        alone = request.scores_prompts or request.priority > 0
        reading = [] if alone else [prompt.ids for prompt in prompts]
        completion = Completion(texts, self._sessions.reading_ids(owner, reading))
        task = asyncio.create_task(completion.run())
        self._running.add(task)  # it goes on when nobody listens, so that its state is kept
        task.add_done_callback(self._running.discard)
        return completion

    async def _grammar(self, request: CompletionRequest) -> Grammar | None:
        constraint = request.constraint
        if constraint is None:
            return None
        if request.ignore_eos:
            raise endless(constraint.param)
        return await self._grammars.compile(partial(answer_grammar, constraint), constraint.param)

    def _answers(self, request: CompletionRequest) -> int:
        """All prompts or none: what is admitted must not have to be given up."""
        wanted = len(request.prompts) * request.choices
        if wanted > self._engine.capacity:
            raise InvalidRequest(
                f"{len(request.prompts)} prompts with {request.choices} answers each can never run "
                f"together here: slots and queue together take {self._engine.capacity}",
                param=_too_many(request),
            )
        return wanted

    def _read(self, request: CompletionRequest) -> list[tuple[tuple[int, ...], str]]:
        """The ids and the text of every prompt."""
        return [self._prompt(request, number) for number in range(len(request.prompts))]

    def _prompt(self, request: CompletionRequest, number: int) -> tuple[tuple[int, ...], str]:
        given = request.prompts[number]
        param = f"prompt.{number}" if len(request.prompts) > 1 else "prompt"
        ids = self._encode(given, param) if isinstance(given, str) else given
        if 0 < self._max_prompt_tokens < len(ids):
            raise InvalidRequest(
                f"{param} has {len(ids)} tokens, and this server is set to take at most "
                f"{self._max_prompt_tokens}",
                param=param,
                code="context_length_exceeded",
            )
        return ids, given if isinstance(given, str) else self._tokenizer.decode(ids)

    async def _resumed(
        self, request: CompletionRequest, ids: tuple[int, ...], text: str
    ) -> Continued:
        kept = None
        if not request.scores_prompts:  # which every token of the prompt has to pass for
            kept = await self._sessions.resume_ids((self._fingerprint, request.owner), ids)
        return Continued(ids, text, kept or self._beginning)

    def _encode(self, text: str, param: str) -> tuple[int, ...]:
        """The ids of a prompt; an empty one is the end of what was before it."""
        if not text:
            return (self._tokenizer.eos_id,)
        try:
            return tuple(self._tokenizer.encode(text))
        except TokenizerError as error:
            raise InvalidRequest(f"{param} cannot be tokenised: {error}", param=param) from error

    def _submit(
        self, request: CompletionRequest, prompt: Continued, grammar: Grammar | None
    ) -> EventStream:
        ends = () if request.ignore_eos else (self._tokenizer.eos_id,)
        return self._engine.submit(
            Submit(
                request=fresh_hex(12),
                start=prompt.start,
                pieces=(prompt.ids[prompt.cached :],),
                branches=tuple(self._branches(request, grammar)),
                max_tokens=request.max_tokens,
                stop_ids=frozenset((*ends, *request.stop_token_ids)),
                logprobs=0 if request.ranked and request.logprobs is None else request.logprobs,
                prompt_logprobs=request.logprobs if request.scores_prompts else None,
                place=Place(request.caller, request.priority),
                form=request.constraint.param if request.constraint is not None else None,
            ),
            self._observer,
        )

    def _branches(self, request: CompletionRequest, grammar: Grammar | None) -> Iterator[Branch]:
        options = request.sampling
        sampling = resolve(options, SamplingOptions(), self._tokenizer, request.max_tokens)
        least = sampling.min_tokens
        for number in range(request.choices):
            watcher = TextWatcher(self._tokenizer, request.stop, trim=False, min_tokens=least)
            matcher = grammar.matcher() if grammar is not None else None
            yield Branch(replace(sampling, seed=sampling.seed + number), watcher, matcher)


def _too_many(request: CompletionRequest) -> str:
    """Which field asked for more answers than there can be."""
    if len(request.prompts) > 1:
        return "prompt"
    return "best_of" if request.ranked else "n"
