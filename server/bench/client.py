"""A client of any server with OpenAI's streaming chat completions, and a clock.

Nothing is asked of a server beyond `model`, `messages`, `stream`, `stream_options`, `max_tokens`
and `temperature`; where its usage counts no tokens, the pieces of text are counted.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httpx

from server.bench.report import BenchError

_CONNECT_S = 10.0
_TEXTS = ("content", "reasoning_content", "reasoning")

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """first_ms: from the moment the request left to the first text, or to an end without any."""

    text: str
    tokens: int
    prompt_tokens: int | None
    first_ms: float


class Client:
    """One server, and the model of it that is asked; to be used in one event loop."""

    def __init__(self, name: str, url: str, key: str | None = None, model: str = "") -> None:
        self.name = name
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            # An answer takes as long as it takes.
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            limits=httpx.Limits(max_connections=None),
            # A proxy of the environment would be measured instead.
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """Finds the first model where none was named. Raises BenchError."""
        if not self.model:
            self.model = await self._first_model()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def _first_model(self) -> str:
        try:
            response = await self._http.get("/v1/models")
            await _check(self.url, response)
            return str(response.json()["data"][0]["id"])
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except (ValueError, LookupError, TypeError) as error:
            raise BenchError(f"{self.url}/v1/models lists no model; name one.") from error

    async def ask(self, messages: Messages, max_tokens: int) -> Answer:
        """A greedy answer. Raises BenchError."""
        body = {
            "model": self.model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        request = self._http.build_request("POST", "/v1/chat/completions", json=body)
        reader = _Reader(time.perf_counter())
        try:
            response = await self._http.send(request, stream=True)
            try:
                await _check(self.url, response)
                async for data in _events(response):
                    reader.take(data)
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        except ValueError as error:
            raise BenchError(f"{self.url} sends an event that is not JSON ({error}).") from error
        return reader.answer()

    async def speed(self, prompts: Sequence[str], max_tokens: int) -> float:
        """Tokens per second of one answer to each prompt, all asked for at once."""
        messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
        start = time.perf_counter()
        answers = await asyncio.gather(*(self.ask(one, max_tokens) for one in messages))
        return sum(answer.tokens for answer in answers) / (time.perf_counter() - start)

    def _unreachable(self, error: httpx.HTTPError) -> BenchError:
        return BenchError(f"{self.url} does not answer ({str(error) or type(error).__name__}).")


class _Reader:
    """Puts one answer together from its chunks."""

    def __init__(self, sent: float) -> None:
        self._sent = sent
        self._first: float | None = None
        self._content = ""
        self._pieces = 0
        self._usage: dict[str, Any] = {}

    def take(self, data: dict[str, Any]) -> None:
        if "error" in data:
            raise BenchError(f"the server broke an answer off: {data['error']}.")
        self._usage = data.get("usage") or self._usage
        for choice in data.get("choices") or ():
            delta = choice.get("delta") or {}
            wrote = any(delta.get(name) for name in _TEXTS)
            self._pieces += wrote
            self._content += delta.get("content") or ""
            if self._first is None and (wrote or choice.get("finish_reason")):
                self._first = time.perf_counter()

    def answer(self) -> Answer:
        if self._first is None:
            raise BenchError("the server ended an answer before it began.")
        return Answer(
            self._content,
            self._usage.get("completion_tokens") or self._pieces,
            self._usage.get("prompt_tokens"),
            (self._first - self._sent) * 1000,
        )


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The data of server-sent events. Not aiter_lines(), which also splits within JSON."""
    rest = b""
    async for received in response.aiter_bytes():
        *lines, rest = (rest + received).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                yield json.loads(data)


async def _check(url: str, response: httpx.Response) -> None:
    """Raises BenchError with what the server says, unless it is well."""
    if not response.is_error:
        return
    body = await response.aread()
    try:
        said = str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        said = body[:200].decode(errors="replace")
    raise BenchError(f"{url} answers with status {response.status_code}: {said}")
