"""Responses that are kept: found, listed, deleted, and by whom."""

import time
from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from tests.server.api.responses.asking import ENDLESS, ask


def test_a_response_that_was_not_stored_is_not_found(client: OpenAI) -> None:
    response = ask(client, store=False)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(NotFoundError) as missing:
        ask(client, previous_response_id=response.id)
    assert missing.value.param == "previous_response_id"


def test_a_deleted_response_is_gone(client: OpenAI) -> None:
    first = ask(client)
    second = ask(client, "More", previous_response_id=first.id)
    client.responses.delete(first.id)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(NotFoundError):
        client.responses.input_items.list(first.id)
    with pytest.raises(NotFoundError):
        ask(client, "More", previous_response_id=second.id)


def test_input_items_come_newest_first_page_by_page(client: OpenAI) -> None:
    words: Any = [{"role": "user", "content": word} for word in "abc"]
    response = ask(client, words)

    def texts(**query: Any) -> list[str]:
        page = client.responses.input_items.list(response.id, **query)
        return [item.content[0].text for item in page]  # type: ignore[union-attr, index]

    assert texts() == ["c", "b", "a"]
    assert texts(order="asc") == ["a", "b", "c"]
    assert texts(limit=1) == ["c", "b", "a"]
    first = client.responses.input_items.list(response.id, limit=1)
    assert (len(first.data), first.has_more) == (1, True)


def test_no_caller_finds_anothers_response(client: OpenAI, stranger: OpenAI) -> None:
    response = ask(client)
    for attempt in (
        stranger.responses.retrieve,
        stranger.responses.delete,
        stranger.responses.cancel,
        stranger.responses.input_items.list,
    ):
        with pytest.raises(NotFoundError):
            attempt(response.id)
    with pytest.raises(NotFoundError):
        ask(stranger, previous_response_id=response.id)
    assert client.responses.retrieve(response.id).id == response.id


def test_a_stream_whose_client_left_is_kept_as_far_as_it_got(client: OpenAI) -> None:
    stream = ask(client, stream=True, **ENDLESS)
    id = ""
    for event in stream:
        if event.type == "response.created":
            id = event.response.id
        if event.type == "response.output_text.delta":
            break
    stream.close()
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            found = client.responses.retrieve(id)
            break
        except NotFoundError:
            time.sleep(0.01)
    assert found.status == "cancelled"
    assert found.output_text
