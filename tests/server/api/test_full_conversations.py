"""Chats and responses in a conversation that is about to be too large to be kept."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from server.api.auth import ANONYMOUS
from server.app import App
from server.records import Records
from tests.server.tiny import checkpoint, served

ROOM = 400  # bytes: enough for a short question, and not for its answer too
ASKED: Any = [{"role": "user", "content": "Hello"}]
LONG: Any = [{"role": "user", "content": "Hello" * 100}]
ANSWERED: Any = {"model": "tiny", "extra_body": {"logit_bias": {"0": -100}, "seed": 1}}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    with served(
        checkpoint(tmp_path_factory.mktemp("model")), sessions__records_bytes=32768
    ) as both:
        yield both


@pytest.fixture
def records(app: App) -> Records:
    return app.context.records


@pytest.fixture
def conversation(client: OpenAI, records: Records) -> str:
    """The id of one that is nearly full."""
    text = ""
    for _ in range(2):
        item: Any = {"type": "message", "role": "user", "content": f"Hi{text}"}
        id = client.conversations.create(items=[item]).id
        text += "x" * (records.room(ANONYMOUS, "conversation", id) - ROOM)
    assert records.room(ANONYMOUS, "conversation", id) == ROOM
    return id


def chat(client: OpenAI, conversation: str, messages: Any, **fields: Any) -> Any:
    arguments = {**ANSWERED, "max_tokens": 64, **fields}
    arguments["extra_body"] = {**arguments["extra_body"], "conversation": conversation}
    return client.chat.completions.create(messages=messages, **arguments)


def respond(client: OpenAI, conversation: str, given: Any, **fields: Any) -> Any:
    arguments = {**ANSWERED, "max_output_tokens": 64, **fields}
    return client.responses.create(input=given, conversation=conversation, **arguments)


def items(client: OpenAI, conversation: str) -> int:
    return len(list(client.conversations.items.list(conversation)))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ask", [chat, respond])
def test_a_question_without_room_is_refused_before_it_is_answered(
    client: OpenAI, conversation: str, ask: Any, stream: bool
) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, conversation, LONG, stream=stream)
    assert (refused.value.param, refused.value.code) == ("conversation", "invalid_value")
    assert items(client, conversation) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_room_is_given_by_a_chat(
    client: OpenAI, conversation: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = chat(client, conversation, ASKED, stream=stream)
        reasons = (
            [chunk.choices[0].finish_reason for chunk in answer]  # raises what the stream ends in
            if stream
            else [answer.choices[0].finish_reason]
        )
    assert reasons[-1] == "length"
    assert items(client, conversation) == 1
    assert conversation in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_room_is_given_by_a_response(
    client: OpenAI, conversation: str, stream: bool
) -> None:
    answer = respond(client, conversation, ASKED, stream=stream, store=False)
    response = list(answer)[-1].response if stream else answer
    assert (response.status, response.error) == ("incomplete", None)
    assert response.output_text
    assert response.conversation is None
    assert items(client, conversation) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_stored_response_says_that_it_is_no_part_of_its_conversation(
    client: OpenAI, conversation: str, stream: bool
) -> None:
    answer = respond(client, conversation, ASKED, background=True, stream=stream)
    response = list(answer)[-1].response if stream else answer
    while (found := client.responses.retrieve(response.id)).status in {"queued", "in_progress"}:
        time.sleep(0.02)
    assert (found.status, found.conversation) == ("incomplete", None)
    assert not stream or response == found


def test_a_conversation_with_room_has_the_answer(client: OpenAI) -> None:
    id = client.conversations.create().id
    chat(client, id, ASKED)
    assert respond(client, id, ASKED).conversation.id == id
    assert items(client, id) == 4
