"""Calls that are cut before their name, at a real server with the bundled model."""

from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from models import gosling
from server.app import App
from tests.server.tiny import served

MODEL = "gosling"
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
FUNCTION: Any = {"name": "weather", "parameters": SCHEMA}
ASKED: Any = [{"role": "user", "content": "How is it in Rome?"}]
GO_ON: Any = {"role": "user", "content": "Go on"}
CHAT: Any = {
    "model": MODEL,
    "temperature": 0,
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "required",
}
RESPONSE: Any = {
    "model": MODEL,
    "temperature": 0,
    "tools": [{"type": "function", "strict": False, **FUNCTION}],
    "tool_choice": "required",
}
MESSAGE: Any = {
    "model": MODEL,
    "tools": [{"name": "weather", "input_schema": SCHEMA}],
    "tool_choice": {"type": "any"},
    "extra_body": {"temperature": 0},
}
CUTS = [1, 2, 3]


@pytest.fixture(scope="module")
def serving() -> Iterator[tuple[str, App]]:
    with served(gosling.PATH) as both:
        yield both


@pytest.fixture
def other(serving: tuple[str, App]) -> Iterator[Anthropic]:
    with Anthropic(base_url=serving[0], api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("most", CUTS)
def test_a_chat_has_no_content(client: OpenAI, most: int) -> None:
    completion = client.chat.completions.create(messages=ASKED, max_tokens=most, **CHAT)
    (choice,) = completion.choices
    assert (choice.message.content, choice.finish_reason) == ("", "length")
    assert choice.message.tool_calls is None
    again = [*ASKED, choice.message.to_dict(), GO_ON]
    full: Any = client.chat.completions.create(messages=again, max_tokens=100, **CHAT)
    assert full.choices[0].message.tool_calls[0].function.name == "weather"
    assert full.usage.prompt_tokens_details.cached_tokens > completion.usage.prompt_tokens - 4  # type: ignore[union-attr]


@pytest.mark.parametrize("most", CUTS)
def test_a_stream_of_a_chat_has_none_either(client: OpenAI, most: int) -> None:
    with client.chat.completions.stream(messages=ASKED, max_tokens=most, **CHAT) as stream:
        with pytest.raises(Exception, match="length"):
            stream.get_final_completion()
        content = stream.current_completion_snapshot.choices[0].message.content
    assert not content


@pytest.mark.parametrize("most", CUTS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_incomplete_and_has_no_text(client: OpenAI, most: int, stream: bool) -> None:
    if stream:
        events = list(
            client.responses.create(input=ASKED, max_output_tokens=most, stream=True, **RESPONSE)
        )
        assert "response.output_text.delta" not in {event.type for event in events}
        response = events[-1].response  # type: ignore[union-attr]
    else:
        response = client.responses.create(input=ASKED, max_output_tokens=most, **RESPONSE)
    assert (response.status, response.output_text) == ("incomplete", "")
    assert {item.type for item in response.output} <= {"message"}
    full: Any = client.responses.create(
        input=[GO_ON], previous_response_id=response.id, max_output_tokens=100, **RESPONSE
    )
    assert full.output[0].name == "weather"


@pytest.mark.parametrize("most", CUTS)
def test_a_message_has_no_blocks(other: Anthropic, most: int) -> None:
    message = other.messages.create(messages=ASKED, max_tokens=most, **MESSAGE)
    assert (message.content, message.stop_reason) == ([], "max_tokens")
    with other.messages.stream(messages=ASKED, max_tokens=most, **MESSAGE) as stream:
        assert stream.get_final_message().content == []
    again: Any = [*ASKED, {"role": "assistant", "content": message.content}, GO_ON]
    full: Any = other.messages.create(messages=again, max_tokens=100, **MESSAGE)
    assert full.content[0].name == "weather"
