"""Every kind of thing that the OpenAPI document has in a stream is sent by a real server."""

import threading
import time
from functools import partial
from typing import Any

import httpx
import pytest

from models import gosling
from server.api import answers
from server.app import App
from server.cli import server as cli
from tests.server.api.everything import (
    ENDLESS,
    ENDLESS_RESPONSE,
    FIELDS,
    Kinds,
    ask,
    ask_while_busy,
    asked,
)
from tests.server.api.kinds import allowed_kinds
from tests.server.api.sent import (
    CHATS,
    COMPLETIONS,
    REPLAY,
    RESPONSES,
    content_schema,
    documented,
)
from tests.server.tiny import served


class Sent(Kinds):
    """Of streams."""

    def hear(self, text: str, path: str, method: str = "post") -> list[dict[str, Any]]:
        events = documented(text, path, method)
        for event in events:
            self.add(event, path, content_schema(path, method), "event")
        return events

    def hear_again(self, client: httpx.Client, id: str) -> None:
        self.hear(client.get(f"{RESPONSES}/{id}?stream=true").text, REPLAY, "get")


def stream(client: httpx.Client, path: str, **fields: Any) -> str:
    response = client.post(path, json=asked(path, **fields))
    assert response.status_code == 200, response.text
    return response.text


def answered(sent: Sent, client: httpx.Client) -> None:
    """What is asked for with one request."""
    for path, all_fields in FIELDS.items():
        for fields in all_fields:
            events = sent.hear(stream(client, path, **fields), path)
            if fields.get("background"):
                sent.hear_again(client, events[0]["response"]["id"])


def gone_on(sent: Sent, client: httpx.Client) -> None:
    """Responses that go on from something else."""
    conversation = client.post("/v1/conversations", json={}).json()["id"]
    fields = {"max_output_tokens": 1, "background": True}
    first = sent.hear(stream(client, RESPONSES, conversation=conversation, **fields), RESPONSES)
    previous = first[0]["response"]["id"]
    text = stream(client, RESPONSES, previous_response_id=previous, **fields)
    second = sent.hear(text, RESPONSES)
    for events in (first, second):
        sent.hear_again(client, events[0]["response"]["id"])


def cancelled(sent: Sent, client: httpx.Client) -> None:
    """A response in the background that somebody ends."""
    body = asked(RESPONSES, background=True, **ENDLESS_RESPONSE)
    with client.stream("POST", RESPONSES, json=body) as response:
        pieces = response.iter_text()
        text = next(pieces)
        id = sent.hear(text[: text.index("\n\n")], RESPONSES)[0]["response"]["id"]
        client.post(f"{RESPONSES}/{id}/cancel").raise_for_status()
        sent.hear(text + "".join(pieces), RESPONSES)
    sent.hear_again(client, id)


def waited(sent: Sent, client: httpx.Client) -> None:
    """What finds no slot in time."""
    for path in FIELDS:
        sent.hear(stream(client, path, background=True), path)
    events = sent.hear(stream(client, RESPONSES, background=True), RESPONSES)
    sent.hear_again(client, events[0]["response"]["id"])


def stopped(sent: Sent, client: httpx.Client, app: App) -> list[threading.Thread]:
    """What is not at its end when the server is; it is there once the threads have ended."""

    def one(path: str) -> None:
        sent.hear(stream(client, path, **ENDLESS), path)

    threads = [threading.Thread(target=one, args=(path,)) for path in (CHATS, COMPLETIONS)]
    for thread in threads:
        thread.start()
    while app.catalogue.in_flight < len(threads):
        time.sleep(0.01)
    return threads


@pytest.fixture(scope="module")
def sent() -> Sent:
    """All that real servers with the bundled model send when they are asked for everything."""
    sent = Sent()
    ask(*(partial(one, sent) for one in (answered, gone_on, cancelled)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PING_S", 0.01)  # streams begin before they have a slot
        patch.setattr(cli, "GRACE_S", 0.1)
        ask_while_busy(partial(waited, sent))
        with httpx.Client(timeout=60) as client, served(gosling.PATH) as (url, app):
            client.base_url = httpx.URL(url)
            threads = stopped(sent, client, app)
        for thread in threads:
            thread.join()
    return sent


@pytest.mark.parametrize("path", [*FIELDS, REPLAY])
def test_all_that_is_documented_is_sent(sent: Sent, path: str) -> None:
    schema = content_schema(path, "get" if path == REPLAY else "post")
    assert sorted(allowed_kinds(schema, "event") - sent.kinds[path]) == []
