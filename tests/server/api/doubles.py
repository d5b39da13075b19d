"""A chat service that says what a test wrote down, and a client without a network."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

import httpx

from models.base import ModelSpec
from models.tokenizer import Tokenizer
from server.api.build import build_api
from server.api.context import Context
from server.chat.catalogue import Catalogue, Offer
from server.chat.served import ServedModel
from server.chat.template import G1
from server.chat.types import (
    ChoiceEnd,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    TurnEvent,
    TurnRequest,
)
from server.config import ServerSettings
from server.errors import NotFound

VOCAB_SIZE = 100
SPEC = ModelSpec("7", 2, 64, 1, 64, 256, VOCAB_SIZE, 12345, "abcdef0123456789" * 4)
TOKENIZER = cast(Tokenizer, SimpleNamespace(name="letters", fingerprint="0", eos_id=0))
PATH = "/v1/chat/completions"

Step = TurnEvent | Exception | Callable[[], Awaitable[object]]


def answer(text: str = "Hello.", choice: int = 0) -> list[Step]:
    """The events of one choice, a delta for every character."""
    return [*(TextDelta(choice, char) for char in text), ChoiceEnd(choice, "stop", len(text))]


class FakeTurn:
    """Plays its script: events are delivered, exceptions raised, callables awaited."""

    prompt_tokens = 11
    cached_tokens = 7
    prompt_ids: tuple[int, ...] | None = None

    def __init__(self, script: Iterable[Step]) -> None:
        self._script = script
        self._played = self._play()
        self._first: asyncio.Future[TurnEvent | None] | None = None
        self.cancelled = asyncio.Event()

    async def begun(self, seconds: float) -> None:
        self._first = asyncio.ensure_future(anext(self._played, None))
        try:
            done, _ = await asyncio.wait({self._first}, timeout=seconds)
        except asyncio.CancelledError:
            self._first.cancel()
            raise
        for first in done:
            first.result()

    async def events(self) -> AsyncIterator[TurnEvent]:
        if self._first is not None and (first := await self._first) is not None:
            yield first
        async for event in self._played:
            yield event

    async def _play(self) -> AsyncIterator[TurnEvent]:
        for step in self._script:
            if isinstance(step, TextDelta | ReasoningDelta | ToolCallDelta | ChoiceEnd):
                yield step
            elif isinstance(step, Exception):
                raise step
            else:
                await step()

    async def started(self) -> bool:
        await asyncio.sleep(0)
        return True

    def cancel(self) -> None:
        self.cancelled.set()


class FakeService:
    """Starts one turn of its script for every request, or raises its `refusal`."""

    model = ServedModel("tiny", SPEC, "float32", TOKENIZER, G1)

    def __init__(self) -> None:
        self.alive = True
        self.script: list[Step] = answer()
        self.refusal: Exception | None = None
        self.requests: list[TurnRequest] = []
        self.turns: list[FakeTurn] = []

    async def start(self, request: TurnRequest) -> FakeTurn:
        if self.refusal is not None:
            raise self.refusal
        self.requests.append(request)
        self.turns.append(FakeTurn(self.script))
        return self.turns[-1]


class FakeCatalogue:
    """A single model, which is loaded."""

    created = 1_700_000_000

    def __init__(self, service: FakeService) -> None:
        self._service = service

    @property
    def alive(self) -> bool:
        return self._service.alive

    @property
    def offers(self) -> list[Offer]:
        return [Offer(self._service.model, nbytes=0, load=cast(Any, None))]

    def loaded(self, offer: Offer) -> bool:
        return offer in self.offers

    def offer(self, id: str) -> Offer:
        (offer,) = self.offers
        if id != offer.id:
            raise NotFound("It is not served.", param="model", code="model_not_found")
        return offer

    async def find(self, id: str) -> FakeService:
        self.offer(id)
        return self._service


class Api:
    """The HTTP application over a fake service, and a client of it."""

    def __init__(self, request_timeout_s: float = 0, **settings: Any) -> None:
        self.service = FakeService()
        catalogue = cast(Catalogue, FakeCatalogue(self.service))
        self.context = Context(catalogue, request_timeout_s=request_timeout_s)
        self.app = build_api(self.context, ServerSettings(**settings))
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="http://localhost"
        )

    async def chat(self, **fields: Any) -> httpx.Response:
        """A good chat request, but for `fields`."""
        return await self.client.post(PATH, json=body(**fields))


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], **fields}


def assert_error(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error object of a response, complete and in OpenAI's shape."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert list(response.json()) == ["error"]
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    return error
