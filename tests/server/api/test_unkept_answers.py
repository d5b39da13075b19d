"""Answers that are to be stored, and with what was asked are too large for it."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from server.api.auth import ANONYMOUS
from server.app import App
from tests.server.tiny import checkpoint, served

LARGE = "Hello" * 1000  # more than a document may have here
ENDLESS: Any = {"model": "tiny", "extra_body": {"logit_bias": {"0": -100}, "seed": 1}}
FEW, MANY = 3, 3000  # tokens, of which so many are more than a document may have here too
SOME = 100  # of which only the events are


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with served(path, sessions__records_bytes=16384) as both:
        yield both


def chat(client: OpenAI, text: str, tokens: int, **fields: Any) -> Any:
    asked: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(messages=asked, max_tokens=tokens, **ENDLESS, **fields)


def respond(client: OpenAI, text: str, tokens: int, **fields: Any) -> Any:
    return client.responses.create(input=text, max_output_tokens=tokens, **ENDLESS, **fields)


def ended(client: OpenAI, id: str) -> Any:
    """A response in the background, at its end."""
    while (response := client.responses.retrieve(id)).status in {"queued", "in_progress"}:
        time.sleep(0.02)
    return response


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ask", [chat, respond])
def test_a_question_too_large_to_be_stored_is_refused_before_it_is_answered(
    client: OpenAI, ask: Any, stream: bool
) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, LARGE, FEW, store=True, stream=stream)
    assert (refused.value.param, refused.value.code) == ("store", "invalid_value")


def test_a_large_question_for_the_background_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        respond(client, LARGE, FEW, background=True)
    assert refused.value.param == "store"


def test_a_response_that_nobody_asked_to_store_says_that_it_is_not(client: OpenAI) -> None:
    assert respond(client, LARGE, FEW).store is False
    assert respond(client, "Hello", FEW).store is True


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_too_large_to_be_stored_says_so(
    client: OpenAI, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    answer = respond(client, "Hello", MANY, store=True, stream=stream)
    response = list(answer)[-1].response if stream else answer
    assert (response.status, response.error, response.store) == ("incomplete", None, False)
    assert response.output_text
    assert response.id in caplog.text
    with pytest.raises(NotFoundError):
        client.responses.retrieve(response.id)


@pytest.mark.parametrize("stream", [False, True])
def test_in_the_background_it_fails_and_is_found_so(client: OpenAI, stream: bool) -> None:
    answer = respond(client, "Hello", MANY, background=True, stream=stream)
    last = list(answer)[-1].response if stream else ended(client, answer.id)
    found = client.responses.retrieve(last.id)
    for response in (last, found):
        assert (response.status, response.output, response.store) == ("failed", [], True)
        assert "larger" in response.error.message


def test_a_response_whose_events_are_too_large_is_had_without_them(
    client: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    events = list(respond(client, "Hello", SOME, background=True, stream=True))
    response = events[-1].response
    assert client.responses.retrieve(response.id) == response
    assert (response.status, response.store) == ("incomplete", True)
    with pytest.raises(BadRequestError) as refused:
        client.responses.retrieve(response.id, stream=True)
    assert "too large" in refused.value.message
    assert response.id in caplog.text


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_too_large_to_be_stored_is_answered(
    client: OpenAI, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        answer = chat(client, "Hello", MANY, store=True, stream=stream)
        ids = {chunk.id for chunk in answer} if stream else {answer.id}
    (id,) = ids
    assert id in caplog.text
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(id)


def test_a_full_conversation_outlives_the_next_answer(client: OpenAI, app: App) -> None:
    room = app.context.records.room(ANONYMOUS, "conversation", "a new one")
    item: Any = {"type": "message", "role": "user", "content": "x" * (room - 500)}
    id = client.conversations.create(items=[item]).id
    assert respond(client, "Hello", FEW).store
    assert client.conversations.retrieve(id).id == id
