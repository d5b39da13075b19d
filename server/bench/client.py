"""A client of any server with OpenAI's streaming chat completions, and a clock.

Nothing is asked of a server beyond `model`, `messages`, `stream`, `stream_options`, `max_tokens`
and `temperature`; where its usage counts no tokens, the pieces of text are counted. Answers are
read when they have ended, so that reading takes no time from a server that still writes others.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import httptools

from server.bench.report import BenchError
from server.bench.wire import Reply, Wire

_TEXTS = ("content", "reasoning_content", "reasoning")

Messages = Sequence[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """first_ms: from the moment the request left to the first text, or to an end without any;
    last_ms: to the last.

    prompt_tokens, cached_tokens: as the server counts them, the latter those it did not read.
    """

    text: str
    tokens: int
    prompt_tokens: int | None
    first_ms: float
    last_ms: float
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    """tokens_per_s: of all answers together, prompts and all; writing_per_s: of all while they are
    written, None where they came whole. The rest: the mean of a prompt.
    """

    tokens_per_s: float
    writing_per_s: float | None
    prompt_tokens: int | None
    cached_tokens: int | None


class Client:
    """One server, and the model of it that is asked; to be used in one event loop."""

    def __init__(self, name: str, url: str, key: str | None = None, model: str = "") -> None:
        """Raises BenchError for what is no URL."""
        self.name = name
        self.url = url.rstrip("/").removesuffix("/v1")
        self.model = model
        self._wire = Wire(self.url, {"Authorization": f"Bearer {key}"} if key else {})

    async def __aenter__(self) -> Self:
        """Finds the first model where none was named. Raises BenchError."""
        if not self.model:
            self.model = await self._first_model()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._wire.close()

    async def _first_model(self) -> str:
        reply = await self._sent("/v1/models")
        try:
            return str(json.loads(reply.body())["data"][0]["id"])
        except (ValueError, LookupError, TypeError) as error:
            raise BenchError(f"{self.url}/v1/models lists no model; name one.") from error

    async def ask(self, messages: Messages, max_tokens: int) -> Answer:
        """A greedy answer. Raises BenchError."""
        return self.read(await self.send(messages, max_tokens))

    async def speed(self, prompts: Sequence[str], max_tokens: int) -> Speed:
        """Of one answer to each prompt, all asked for at once. Raises BenchError."""
        messages = [[{"role": "user", "content": prompt}] for prompt in prompts]
        replies = await asyncio.gather(*(self.send(one, max_tokens) for one in messages))
        seconds = max(it.ended for it in replies) - min(it.sent for it in replies)
        answers = [self.read(reply) for reply in replies]
        return Speed(
            sum(answer.tokens for answer in answers) / seconds,
            _writing(answers),
            _mean([answer.prompt_tokens for answer in answers]),
            _mean([answer.cached_tokens for answer in answers]),
        )

    async def send(self, messages: Messages, max_tokens: int) -> Reply:
        """A greedy answer as it came, for read(). Raises BenchError."""
        body = {
            "model": self.model,
            "messages": list(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        return await self._sent("/v1/chat/completions", json.dumps(body).encode())

    async def _sent(self, path: str, body: bytes | None = None) -> Reply:
        try:
            reply = await (self._wire.get(path) if body is None else self._wire.post(path, body))
        except (OSError, httptools.HttpParserError) as error:
            why = str(error) or type(error).__name__
            raise BenchError(f"{self.url} does not answer ({why}).") from error
        if not 200 <= reply.status < 300:
            said = _refusal(reply.body())
            raise BenchError(f"{self.url} answers with status {reply.status}: {said}")
        return reply

    def read(self, reply: Reply) -> Answer:
        """Raises BenchError."""
        reader = _Reader(reply.sent)
        try:
            for moment, data in _events(reply):
                reader.take(moment, data)
        except ValueError as error:
            raise BenchError(f"{self.url} sends an event that is not JSON ({error}).") from error
        return reader.answer()


class _Reader:
    """Puts one answer together from its chunks."""

    def __init__(self, sent: float) -> None:
        self._sent = sent
        self._first: float | None = None
        self._last = sent
        self._content = ""
        self._pieces = 0
        self._usage: dict[str, Any] = {}

    def take(self, moment: float, data: dict[str, Any]) -> None:
        if "error" in data:
            raise BenchError(f"the server broke an answer off: {data['error']}.")
        self._usage = data.get("usage") or self._usage
        for choice in data.get("choices") or ():
            delta = choice.get("delta") or {}
            wrote = any(delta.get(name) for name in _TEXTS)
            self._pieces += wrote
            self._content += delta.get("content") or ""
            if self._first is None and (wrote or choice.get("finish_reason")):
                self._first = moment
            if wrote:
                self._last = moment

    def answer(self) -> Answer:
        if self._first is None:
            raise BenchError("the server ended an answer before it began.")
        return Answer(
            self._content,
            self._usage.get("completion_tokens") or self._pieces,
            self._usage.get("prompt_tokens"),
            (self._first - self._sent) * 1000,
            (self._last - self._sent) * 1000,
            (self._usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
        )


def _events(reply: Reply) -> Iterator[tuple[float, dict[str, Any]]]:
    """The data of server-sent events, and when each was complete.

    Not str.splitlines(), which also splits within JSON.
    """
    rest = b""
    for moment, part in reply.parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if line.startswith(b"data:") and data != b"[DONE]":
                yield moment, json.loads(data)


def _writing(answers: Sequence[Answer]) -> float | None:
    """Tokens a second of all answers together: those behind the first, whose wait is no writing."""
    tokens = sum(answer.tokens - 1 for answer in answers)
    seconds = sum(answer.last_ms - answer.first_ms for answer in answers) / len(answers) / 1000
    return tokens / seconds if seconds > 0 else None


def _mean(counts: Sequence[int | None]) -> int | None:
    """Rounded; None unless all are known."""
    known = [count for count in counts if count is not None]
    return round(sum(known) / len(known)) if known and len(known) == len(counts) else None


def _refusal(body: bytes) -> str:
    """What the server says."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return body[:200].decode(errors="replace")
