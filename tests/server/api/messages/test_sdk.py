"""Anthropic's SDK against a real server with a real, if random, model."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message

from server.app import App
from tests.server.tiny import checkpoint, served

HELLO: Any = [{"role": "user", "content": "Hello"}]
CERTAIN: Any = {"extra_body": {"temperature": 0}}  # the SDK knows no sampling parameters
TOOL: Any = {
    "name": "f",
    "description": "Does it",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    },
}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with served(path, server__api_keys=["key"], server__max_body_bytes=100_000) as both:
        yield both


@pytest.fixture
def client(serving: tuple[str, App]) -> Iterator[Anthropic]:
    with Anthropic(base_url=serving[0], api_key="key", max_retries=0) as client:
        yield client


def ask(client: Anthropic, messages: Any = HELLO, **fields: Any) -> Message:
    arguments = {"model": "tiny", "max_tokens": 8, **CERTAIN, **fields}
    message: Message = client.messages.create(messages=messages, **arguments)
    Message.model_validate(message.to_dict(), strict=True)
    return message


def test_an_answer_that_was_cut_says_so(client: Anthropic) -> None:
    message = ask(client, max_tokens=2)
    assert message.stop_reason == "max_tokens"
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.usage.output_tokens == 2
    assert message.id.startswith("msg_")
    assert message._request_id


def test_a_stream_ends_in_what_a_whole_answer_is(client: Anthropic) -> None:
    with client.messages.stream(model="tiny", max_tokens=8, **CERTAIN, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        streamed = stream.get_final_message()
    whole = ask(client)
    assert streamed.content[0].text == text == whole.content[0].text  # type: ignore[union-attr]
    assert (streamed.stop_reason, streamed.usage.output_tokens) == (
        whole.stop_reason,
        whole.usage.output_tokens,
    )


async def test_the_async_client_streams(serving: tuple[str, App]) -> None:
    async with AsyncAnthropic(base_url=serving[0], api_key="key") as client:
        stream = await client.messages.create(
            model="tiny", max_tokens=2, messages=HELLO, stream=True, **CERTAIN
        )
        types = [event.type async for event in stream]
    assert types[:2] == ["message_start", "content_block_start"]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]


def test_a_follow_up_comes_from_the_kept_state(client: Anthropic) -> None:
    first = ask(client, max_tokens=2)
    more: Any = [*HELLO, first.to_param(), {"role": "user", "content": "More"}]
    second = ask(client, more)
    used = first.usage
    read = used.input_tokens + (used.cache_read_input_tokens or 0)
    assert second.usage.cache_read_input_tokens == read + used.output_tokens


def test_the_stop_sequence_is_named(client: Anthropic) -> None:
    text = ask(client).content[0].text  # type: ignore[union-attr]
    message = ask(client, stop_sequences=["nowhere", text[2:4]])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", text[2:4])
    assert message.content[0].text == text[: text.index(text[2:4])]  # type: ignore[union-attr]


def test_thoughts_are_a_block_of_their_own(client: Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    message = ask(client, thinking=thinking)
    assert [block.type for block in message.content] == ["thinking"]
    assert message.content[0].thinking  # type: ignore[union-attr]
    with client.messages.stream(
        model="tiny", max_tokens=8, **CERTAIN, messages=HELLO, thinking=thinking
    ) as stream:
        assert stream.get_final_message().content == message.content


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "f"}])
def test_a_call_and_its_result(client: Anthropic, choice: Any) -> None:
    fields: Any = {"tools": [TOOL], "tool_choice": choice, "max_tokens": 100}
    first = ask(client, **fields)
    assert first.stop_reason == "tool_use"
    call = first.content[0]
    assert call.type == "tool_use"
    assert (call.name, list(call.input)) == ("f", ["a"])
    with client.messages.stream(model="tiny", messages=HELLO, **CERTAIN, **fields) as stream:
        streamed = stream.get_final_message().content[0]
    assert streamed.type == "tool_use"
    assert streamed.input == call.input
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "7"}
    more: Any = [*HELLO, first.to_param(), {"role": "user", "content": [result]}]
    second = ask(client, more, tools=[TOOL])
    assert (second.usage.cache_read_input_tokens or 0) > first.usage.input_tokens


def test_what_is_counted_is_what_is_read(client: Anthropic) -> None:
    fields: Any = {"model": "tiny", "messages": HELLO, "system": "Be brief.", "tools": [TOOL]}
    counted = client.messages.count_tokens(**fields).input_tokens
    used = client.messages.create(max_tokens=1, **fields).usage
    assert counted == used.input_tokens + (used.cache_read_input_tokens or 0)


def test_mistakes_are_the_exceptions_the_sdk_has_for_them(
    client: Anthropic, serving: tuple[str, App]
) -> None:
    wrong = client.with_options(api_key="wrong")
    large: Any = [{"role": "user", "content": "x" * 200_000}]
    for failing, kind, error_type in (
        (
            lambda: ask(client, extra_body={"temperature": 3}),
            anthropic.BadRequestError,
            "invalid_request_error",
        ),
        (lambda: ask(client, model="other"), anthropic.NotFoundError, "not_found_error"),
        (lambda: ask(wrong), anthropic.AuthenticationError, "authentication_error"),
        (lambda: ask(client, large), anthropic.APIStatusError, "request_too_large"),
    ):
        with pytest.raises(kind) as caught:
            failing()
        body: Any = caught.value.body
        assert (body["type"], body["error"]["type"]) == ("error", error_type)
        assert body["request_id"] == caught.value.request_id
