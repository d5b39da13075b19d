"""Responses that go on without their client."""

import time

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from server.app import App
from tests.server.api.responses.asking import ENDLESS, ask


def test_a_background_response_goes_on_by_itself(client: OpenAI) -> None:
    response = ask(client, background=True)
    assert response.status == "queued"
    while (found := client.responses.retrieve(response.id)).status in {"queued", "in_progress"}:
        time.sleep(0.01)
    assert found.status == "incomplete"
    assert found.output_text == ask(client).output_text


def test_a_background_response_can_be_cancelled(client: OpenAI, serving: tuple[str, App]) -> None:
    response = ask(client, background=True, **ENDLESS)
    with pytest.raises(BadRequestError):
        ask(client, previous_response_id=response.id)
    assert client.responses.cancel(response.id).status == "cancelled"
    assert client.responses.cancel(response.id).status == "cancelled"
    assert serving[1].catalogue.in_flight == 0


def in_time(client: OpenAI, id: str, status: str) -> bool:
    """Does a response get this status?"""
    end = time.monotonic() + 5
    while client.responses.retrieve(id).status != status:
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_a_background_response_is_queued_until_there_is_a_slot(client: OpenAI) -> None:
    running = [ask(client, str(i), background=True, **ENDLESS) for i in range(4)]
    assert all(in_time(client, one.id, "in_progress") for one in running)
    waiting, leaving = [ask(client, text, background=True, **ENDLESS) for text in "ab"]
    assert {one.status for one in (waiting, leaving)} == {"queued"}
    time.sleep(0.05)
    assert client.responses.retrieve(waiting.id).status == "queued"
    assert client.responses.retrieve(leaving.id).status == "queued"
    with pytest.raises(BadRequestError):
        ask(client, previous_response_id=waiting.id)
    gone = client.responses.cancel(leaving.id)
    assert gone.status == "cancelled"
    assert gone.usage.output_tokens == 0
    client.responses.cancel(running[0].id)
    assert in_time(client, waiting.id, "in_progress")
    for one in (*running, waiting):
        assert client.responses.cancel(one.id).status == "cancelled"


def test_deleting_a_running_response_ends_it(client: OpenAI, serving: tuple[str, App]) -> None:
    response = ask(client, background=True, **ENDLESS)
    client.responses.delete(response.id)
    assert serving[1].catalogue.in_flight == 0
    with pytest.raises(NotFoundError):
        client.responses.retrieve(response.id)


def test_a_stream_in_the_background_can_be_taken_up_again(client: OpenAI) -> None:
    stream = ask(client, background=True, stream=True)
    id = next(iter(stream)).response.id
    stream.close()
    first = [event.type for event in client.responses.retrieve(id, stream=True)][:3]
    assert first == ["response.created", "response.queued", "response.in_progress"]
    again = list(client.responses.retrieve(id, stream=True, starting_after=1))
    assert [event.sequence_number for event in again] == list(range(2, 2 + len(again)))
    assert again[-1].type == "response.incomplete"
    whole = list(client.responses.retrieve(id, stream=True))
    assert whole[2:] == again
