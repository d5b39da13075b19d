"""Texts as vectors: read, and then taken from the state that reading left."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from models.embedding import embedding
from models.tokenizer import Tokenizer, TokenizerError
from server.chance import fresh_hex
from server.chat.aside import aside
from server.chat.failure import failure_of
from server.chat.stops import TextWatcher
from server.engine.client import EngineClient, EngineFull
from server.engine.messages import Branch, Failed, Finished, Place, Sampling, Submit
from server.engine.observer import AnswerObserver
from server.engine.snapshot import Snapshot
from server.engine.stream import EventStream
from server.errors import AnswerFailed, InvalidRequest, TimeUp, busy


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Texts, or ids of the vocabulary; none of them is empty."""

    caller: str
    inputs: tuple[str | tuple[int, ...], ...]
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of one input; float32, little-endian, of length 1."""

    number: int
    vector: bytes


class EmbeddingService:
    """Reads inputs on one model; see ChatService for what it is given."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        engine: EngineClient,
        *,
        max_prompt_tokens: int,
        beginning: Snapshot | None,
        observer: AnswerObserver | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._engine = engine
        self._max_prompt_tokens = max_prompt_tokens
        self._beginning = beginning
        self._observer = observer

    async def start(self, request: EmbeddingRequest) -> "Embeddings":
        """Raises InvalidRequest, or Overloaded where not even one input is admitted."""

        def work() -> list[tuple[int, ...]]:
            return [self._ids(request, number) for number in range(len(request.inputs))]

        try:
            with self._engine.held(priority=request.priority):
                inputs = await aside(work, sum(map(len, request.inputs)))
        except EngineFull:
            raise busy() from None
        return Embeddings(self, request, inputs)

    def submit(self, request: EmbeddingRequest, ids: tuple[int, ...]) -> EventStream:
        """Raises EngineFull."""
        reading = Submit(
            request=fresh_hex(12),
            start=self._beginning,
            pieces=(ids,),
            branches=(Branch(Sampling(temperature=0), TextWatcher(self._tokenizer, ())),),
            max_tokens=0,
            stop_ids=frozenset(),
            place=Place(request.caller, request.priority),
        )
        return self._engine.submit(reading, self._observer)

    @property
    def together(self) -> int:
        """As many inputs of a request are read at a time."""
        return self._engine.slots

    def _ids(self, request: EmbeddingRequest, number: int) -> tuple[int, ...]:
        given = request.inputs[number]
        param = f"input.{number}" if len(request.inputs) > 1 else "input"
        if not isinstance(given, str):
            ids = given
        else:
            try:
                ids = tuple(self._tokenizer.encode(given))
            except TokenizerError as error:
                message = f"{param} cannot be tokenised: {error}"
                raise InvalidRequest(message, param=param) from error
        if 0 < self._max_prompt_tokens < len(ids):
            raise InvalidRequest(
                f"{param} has {len(ids)} tokens, and this server is set to take at most "
                f"{self._max_prompt_tokens}",
                param=param,
                code="context_length_exceeded",
            )
        return ids


class Embeddings:
    """The inputs of one request under way, some of them at a time.

    What is admitted holds no more than slots, so that a request of thousands of inputs neither
    needs a queue of that length nor fills it.
    """

    def __init__(
        self,
        service: EmbeddingService,
        request: EmbeddingRequest,
        inputs: Sequence[tuple[int, ...]],
    ) -> None:
        self.prompt_tokens = sum(map(len, inputs))
        self._service = service
        self._request = request
        self._waiting = deque(enumerate(inputs))
        self._reading: dict[asyncio.Task[Embedded | AnswerFailed], EventStream] = {}
        self._cancelled = False
        self._fill()

    async def events(self) -> AsyncIterator[Embedded]:
        """In the order in which they are ready. Raises AnswerFailed, and Overloaded."""
        try:
            while self._reading:
                done, _ = await asyncio.wait(self._reading, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del self._reading[task]
                    read = task.result()
                    if isinstance(read, AnswerFailed):
                        raise read
                    yield read
                self._fill()
        finally:
            self.cancel()

    def cancel(self) -> None:
        """End what is being read, and begin nothing more."""
        self._cancelled = True
        for stream in self._reading.values():
            stream.cancel()

    def _fill(self) -> None:
        while self._waiting and not self._cancelled and len(self._reading) < self._service.together:
            number, ids = self._waiting[0]
            try:
                stream = self._service.submit(self._request, ids)
            except EngineFull:
                if not self._reading:
                    raise busy() from None
                return
            self._waiting.popleft()
            self._reading[asyncio.create_task(_embedded(number, stream))] = stream


async def _embedded(number: int, stream: EventStream) -> Embedded | AnswerFailed:
    async for event in stream:
        if isinstance(event, Failed):
            return failure_of(event)
        if isinstance(event, Finished) and event.reason != "cancelled" and event.snapshot:
            vector = await asyncio.to_thread(embedding, event.snapshot.state)
            return Embedded(number, vector.numpy().astype("<f4").tobytes())
    return TimeUp("the time for this request was up before all of it was read", code="timeout")
