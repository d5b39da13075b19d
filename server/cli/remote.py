"""A model on a running server, spoken to over HTTP."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import asdict
from typing import Any

import httpx

from server.chat.types import Message
from server.cli.conversation import ChatError, Wishes

_CONNECT_S = 10.0


class RemoteSpeaker:
    """Any server that speaks OpenAI's chat completions; close() ends its connections."""

    def __init__(
        self,
        url: str,
        key: str | None,
        wishes: Wishes,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._wishes = {name: value for name, value in asdict(wishes).items() if value is not None}
        self._client = httpx.AsyncClient(
            base_url=self._url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            # An answer takes as long as it takes.
            timeout=httpx.Timeout(None, connect=_CONNECT_S),
            transport=transport,
        )
        self._model = ""

    @property
    def name(self) -> str:
        return f"{self._model} at {self._url}"

    async def open(self) -> None:
        """Find out what is served. Raises ChatError."""
        try:
            response = await self._client.get("/v1/models")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.is_error:
            raise ChatError(told_error(response.status_code, response.content))
        self._model = response.json()["data"][0]["id"]

    async def close(self) -> None:
        await self._client.aclose()

    async def reply(self, messages: list[Message]) -> AsyncGenerator[str]:
        body = {
            "model": self._model,
            "messages": [{"role": item.role, "content": item.content} for item in messages],
            "stream": True,
            **self._wishes,
        }
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.is_error:
                    raise ChatError(told_error(response.status_code, await response.aread()))
                async for data in _events(response):
                    yield _text(data)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.HTTPError) -> ChatError:
        reason = str(error) or type(error).__name__
        return ChatError(f"{self._url} does not answer ({reason}); is `rwkv-server serve` running?")


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The data of server-sent events, up to [DONE]."""
    buffer = b""
    async for piece in response.aiter_bytes():
        *lines, buffer = (buffer + piece).split(b"\n")
        for line in lines:
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            if line.startswith(b"data:"):
                yield json.loads(data)


def _text(data: dict[str, Any]) -> str:
    if "error" in data:
        raise ChatError(data["error"]["message"])
    return "".join(choice["delta"].get("content") or "" for choice in data["choices"])


def told_error(status: int, body: bytes) -> str:
    """What a server says is wrong, or its status."""
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return f"the server answers with status {status}"
