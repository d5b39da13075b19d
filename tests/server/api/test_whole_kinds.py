"""Every kind of thing that the OpenAPI document has in a whole answer is sent by a real server."""

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest

from tests.server.api.document import answer_schema, check
from tests.server.api.everything import (
    ENDLESS_RESPONSE,
    FIELDS,
    Kinds,
    ask,
    ask_while_busy,
    asked,
)
from tests.server.api.kinds import allowed_kinds
from tests.server.api.sent import CHATS, COMPLETIONS, MESSAGES, REPLAY, RESPONSES
from tests.server.api.stream_fields import CHAT_FIELDS

STORED: dict[str, Any] = {"store": True, "metadata": {"a": "b"}}
# What only a whole answer has.
MORE: Mapping[str, list[dict[str, Any]]] = {
    CHATS: [
        STORED,
        {**STORED, "return_token_ids": True},
        {"logprobs": True},
        *({**fields, "return_token_ids": True} for fields in CHAT_FIELDS),
    ],
    COMPLETIONS: [],
    RESPONSES: [],
    MESSAGES: [],
}


class Sent(Kinds):
    """Of whole answers."""

    def hear(
        self, response: httpx.Response, path: str, at: str | None = None, method: str = "get"
    ) -> dict[str, Any]:
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        at, method = (path, "post") if at is None else (at, method)
        check(answer, at, method)
        self.add(answer, path, answer_schema(at, method), "answer")
        return answer

    def ask(self, client: httpx.Client, path: str, **fields: Any) -> dict[str, Any]:
        fields.pop("stream_options", None)
        return self.hear(client.post(path, json=asked(path, **fields, stream=False)), path)

    def wait(self, client: httpx.Client, id: str, *status: str) -> None:
        """Until a response in the background is what it is to be."""
        while True:
            found = self.hear(client.get(f"{RESPONSES}/{id}"), RESPONSES, REPLAY)
            if found["status"] in status:
                return
            time.sleep(0.01)


def answered(sent: Sent, client: httpx.Client) -> None:
    """What is asked for with one request, and what is stored of it."""
    for path, all_fields in FIELDS.items():
        for fields in [*all_fields, *MORE[path]]:
            answer = sent.ask(client, path, **fields)
            if fields.get("background"):
                sent.wait(client, answer["id"], "completed", "incomplete")
            if fields.get("metadata") and path == CHATS:
                found = client.get(f"{CHATS}/{answer['id']}")
                sent.hear(found, CHATS, f"{CHATS}/{{completion_id}}")


def gone_on(sent: Sent, client: httpx.Client) -> None:
    """Responses that go on from something else."""
    conversation = client.post("/v1/conversations", json={}).json()["id"]
    first = sent.ask(client, RESPONSES, conversation=conversation, max_output_tokens=1)
    sent.ask(client, RESPONSES, previous_response_id=first["id"], store=False)


def cancelled(sent: Sent, client: httpx.Client) -> None:
    """A response in the background that somebody ends."""
    id = sent.ask(client, RESPONSES, background=True, **ENDLESS_RESPONSE)["id"]
    sent.wait(client, id, "in_progress")
    sent.hear(client.post(f"{RESPONSES}/{id}/cancel"), RESPONSES, f"{REPLAY}/cancel", method="post")
    sent.wait(client, id, "cancelled")


def failed(sent: Sent, client: httpx.Client) -> None:
    """One that finds no slot in time."""
    id = sent.ask(client, RESPONSES, background=True)["id"]
    sent.wait(client, id, "failed")


@pytest.fixture(scope="module")
def sent() -> Sent:
    """All that real servers with the bundled model answer when they are asked for everything."""
    sent = Sent()
    ask(*(partial(one, sent) for one in (answered, gone_on, cancelled)))
    ask_while_busy(partial(failed, sent))
    return sent


@pytest.mark.parametrize("path", FIELDS)
def test_all_that_is_documented_is_sent(sent: Sent, path: str) -> None:
    allowed = allowed_kinds(answer_schema(path), "answer")
    assert sorted(allowed - sent.kinds[path]) == []
