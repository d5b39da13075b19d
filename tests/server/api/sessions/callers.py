"""Callers as a person with curl is one, and the servers that they ask."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from server.api.chat.message import ChatMessage
from server.app import App
from server.chat.types import Message
from tests.server.tiny import served

KEYS = ("key-of-ann", "key-of-bob")
OCTETS = {"content-type": "application/octet-stream"}


class Caller:
    def __init__(self, url: str, key: str, app: App) -> None:
        headers = {"authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=60)
        self.app = app

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return self._json(self.http.get(path, **options), status)

    def post(self, path: str, status: int = 200, **options: Any) -> Any:
        return self._json(self.http.post(path, **options), status)

    def delete(self, path: str, status: int = 200) -> Any:
        return self._json(self.http.delete(path), status)

    def _json(self, response: httpx.Response, status: int) -> Any:
        assert response.status_code == status, response.text
        return response.json()

    def say(self, *texts: str, **more: Any) -> dict[str, Any]:
        """The answer to the texts, of which every second one is the assistant's."""
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
        body = {"model": "tiny", "messages": messages, "temperature": 0, "max_tokens": 8, **more}
        answer = self.post("/v1/chat/completions", json=body)
        usage = answer["usage"]
        return {
            "text": answer["choices"][0]["message"]["content"],
            "cached": usage["prompt_tokens_details"]["cached_tokens"],
            "read": usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"],
        }

    def talk(self, *questions: str) -> list[str]:
        """All that was said in a conversation of these questions."""
        said: list[str] = []
        for question in questions:
            said += [question, ""]
            said[-1] = self.say(*said[:-1])["text"]
        return said

    def sessions(self) -> list[dict[str, Any]]:
        return self.get("/v1/sessions")["data"]

    def tree(self, text: str = "false") -> dict[str, Any]:
        (session,) = self.sessions()
        return self.get(f"/v1/sessions/{session['id']}", params={"text": text})

    def export(self, **params: Any) -> bytes:
        (session,) = self.sessions()
        response = self.http.get(f"/v1/sessions/{session['id']}/export", params=params)
        assert response.status_code == 200, response.text
        assert int(response.headers["content-length"]) == len(response.content)
        return response.content

    def bring(self, data: bytes, status: int = 200) -> Any:
        return self.post("/v1/sessions/import", status, content=data, headers=OCTETS)


@contextmanager
def callers(path: Path, **overrides: Any) -> Iterator[tuple[Caller, Caller]]:
    with served(path, server__api_keys=list(KEYS), **overrides) as (url, app):
        ann, bob = (Caller(url, key, app) for key in KEYS)
        yield ann, bob
        ann.http.close()
        bob.http.close()


def spoken(text: str) -> list[object]:
    """The messages of this text that are in memory."""
    gc.collect()
    kinds = (Message, ChatMessage)
    return [it for it in gc.get_objects() if type(it) in kinds and it.content == text]
