"""Everything that can be asked of a real server, and the kinds of what it sends then."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from models import gosling
from tests.server.api.kinds import kinds_of
from tests.server.api.sent import CHATS, COMPLETIONS, MESSAGES, RESPONSES
from tests.server.api.stream_fields import (
    CHAT_FIELDS,
    COMPLETION_FIELDS,
    CUSTOM_CALLED,
    HELLO,
    MESSAGE_FIELDS,
    RESPONSE_FIELDS,
    RESPONSE_SCHEMAS,
)
from tests.server.tiny import served

FIELDS: Mapping[str, list[dict[str, Any]]] = {
    CHATS: [*CHAT_FIELDS, CUSTOM_CALLED],
    COMPLETIONS: COMPLETION_FIELDS,
    RESPONSES: [
        {"max_output_tokens": 16, "background": background, **fields}
        for fields in (*RESPONSE_FIELDS, *RESPONSE_SCHEMAS)
        for background in (False, True)
    ],
    MESSAGES: MESSAGE_FIELDS,
}
PROMPTS: Mapping[str, dict[str, Any]] = {
    CHATS: {"messages": HELLO},
    COMPLETIONS: {"prompt": "Hello"},
    RESPONSES: {"input": "Hello"},
    MESSAGES: {"messages": HELLO},
}
ENDLESS = {"max_tokens": 1_000_000, "ignore_eos": True}
ENDLESS_RESPONSE = {"max_output_tokens": 1_000_000, "ignore_eos": True}


class Kinds:
    """The kinds of what was sent, by the address that it is asked for at first."""

    def __init__(self) -> None:
        self.kinds: dict[str, set[str]] = defaultdict(set)

    def add(self, sent: Any, path: str, schema: Mapping[str, Any], name: str) -> None:
        self.kinds[path].update(kinds_of(sent, schema, name))


def asked(path: str, **fields: Any) -> dict[str, Any]:
    limit = "max_output_tokens" if path == RESPONSES else "max_tokens"
    common = {"model": "gosling", limit: 8, "temperature": 0, "stream": True}
    return {**common, **PROMPTS[path], **fields}


def ask(*asks: Callable[[httpx.Client], None], **options: Any) -> None:
    """Each in turn, of one server with the bundled model."""
    with served(gosling.PATH, **options) as (url, _), httpx.Client(base_url=url, timeout=60) as one:
        for ask_something in asks:
            ask_something(one)


def ask_while_busy(ask_something: Callable[[httpx.Client], None]) -> None:
    """Of a server whose only slot stays taken, so that nothing finds one in time."""

    def busy(client: httpx.Client) -> None:
        with client.stream("POST", CHATS, json=asked(CHATS, **ENDLESS)) as running:
            pieces = running.iter_text()  # which ends the answer when nobody holds it
            next(pieces)
            ask_something(client)

    ask(busy, engine__max_slots=1, engine__max_wait_s=0.2)
