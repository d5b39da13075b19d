"""Every event of real streams: as the OpenAPI document has it, and as the official SDKs do."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.api.sent import (
    CHATS,
    COMPLETIONS,
    MESSAGES,
    REPLAY,
    RESPONSES,
    documented,
    is_official,
)
from tests.server.api.stream_fields import (
    CHAT_FIELDS,
    COMPLETION_FIELDS,
    CUSTOM_CALLED,
    HELLO,
    MESSAGE_FIELDS,
    RESPONSE_FIELDS,
)
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with served(path) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
        yield client


def streamed(client: httpx.Client, path: str, **fields: Any) -> list[dict[str, Any]]:
    limit = "max_output_tokens" if path == RESPONSES else "max_tokens"
    body = {"model": "tiny", limit: 8, "stream": True, **fields}
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return documented(response.text, path)


@pytest.mark.parametrize("fields", CHAT_FIELDS, ids=str)
def test_chunks_of_chats(client: httpx.Client, fields: dict[str, Any]) -> None:
    for chunk in streamed(client, CHATS, messages=HELLO, **fields):
        is_official(chunk, CHATS)


def test_a_custom_call_in_chunks_of_which_the_sdk_has_none_yet(
    client: httpx.Client,
) -> None:
    chunks = streamed(client, CHATS, messages=HELLO, **CUSTOM_CALLED)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[1]["tool_calls"][0]["custom"] == {"name": "code", "input": ""}


@pytest.mark.parametrize("fields", COMPLETION_FIELDS, ids=str)
def test_chunks_of_completions(client: httpx.Client, fields: dict[str, Any]) -> None:
    for chunk in streamed(client, COMPLETIONS, **{"prompt": "Hello", **fields}):
        for choice in chunk["choices"]:
            # The SDK has the types of a whole answer, and no null before a text's first token.
            choice["finish_reason"] = choice["finish_reason"] or "stop"
            if choice["logprobs"] is not None:
                for column in ("token_logprobs", "top_logprobs"):
                    found = choice["logprobs"][column]
                    choice["logprobs"][column] = [one for one in found if one is not None]
        chunk.setdefault("usage", None)
        is_official(chunk, COMPLETIONS)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("fields", RESPONSE_FIELDS, ids=str)
def test_events_of_responses(
    client: httpx.Client, fields: dict[str, Any], background: bool
) -> None:
    fields = {"max_output_tokens": 16, **fields}
    events = streamed(client, RESPONSES, input="Hello", background=background, **fields)
    for event in events:
        is_official(event, RESPONSES)
    id = events[0]["response"]["id"]
    again = client.get(f"{RESPONSES}/{id}", params={"stream": "true"})
    if background:
        assert documented(again.text, REPLAY, "get") == events
    else:
        assert again.status_code == 400


@pytest.mark.parametrize("fields", MESSAGE_FIELDS, ids=str)
def test_events_of_messages(client: httpx.Client, fields: dict[str, Any]) -> None:
    for event in streamed(client, MESSAGES, messages=HELLO, **fields):
        is_official(event, MESSAGES)
