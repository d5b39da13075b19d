"""Chat completions that are stored, and chats that send only what is new, through the SDK."""

from collections.abc import Iterator
from typing import Any

import pytest
from openai import NotFoundError, OpenAI
from openai.types.chat import ChatCompletion

from server.app import App
from tests.server.tiny import checkpoint, served

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with served(path, server__api_keys=["key", "other"]) as both:
        yield both


def ask(client: OpenAI, word: str = "Hello", **fields: Any) -> Any:
    own = {"previous_response_id", "conversation", "return_token_ids"} & fields.keys()
    extra = {key: fields.pop(key) for key in own}
    messages: Any = [{"role": "user", "content": word}]
    arguments = {"model": "tiny", "max_tokens": 6, "seed": 1, "logit_bias": {"0": -100}, **fields}
    return client.chat.completions.create(messages=messages, extra_body=extra, **arguments)


def cached(completion: ChatCompletion) -> int:
    assert completion.usage is not None
    assert completion.usage.prompt_tokens_details is not None
    return completion.usage.prompt_tokens_details.cached_tokens or 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_stored_completion_is_found(client: OpenAI, stream: bool) -> None:
    answer = ask(client, store=True, metadata={"topic": "x"}, stream=stream)
    id = [chunk.id for chunk in answer][0] if stream else answer.id  # noqa: RUF015
    found = client.chat.completions.retrieve(id)
    assert found.choices[0].message.content == ask(client).choices[0].message.content
    assert found.to_dict()["metadata"] == {"topic": "x"}
    (message,) = client.chat.completions.messages.list(id)
    assert (message.id, message.role, message.content) == (f"{id}-0", "user", "Hello")


def test_a_stored_completion_has_the_ids_that_it_was_answered_with(client: OpenAI) -> None:
    answer = ask(client, store=True, metadata={"list": "ids"}, return_token_ids=True)
    found = client.chat.completions.retrieve(answer.id)
    assert found.to_dict() == {**answer.to_dict(), "metadata": {"list": "ids"}}
    assert client.chat.completions.list(metadata={"list": "ids"}).data == [found]


def test_completions_are_listed_by_their_metadata(client: OpenAI) -> None:
    ids = [ask(client, store=True, metadata={"list": "y"}).id for _ in range(3)]
    ask(client, store=True)
    listed = client.chat.completions.list(metadata={"list": "y"}, limit=2)
    assert [one.id for one in listed] == ids
    assert len(listed.data) == 2
    last = client.chat.completions.list(metadata={"list": "y"}, order="desc", limit=1)
    assert last.data[0].id == ids[-1]


def test_a_completion_is_renamed_and_deleted(client: OpenAI, serving: tuple[str, App]) -> None:
    id = ask(client, store=True).id
    client.chat.completions.update(id, metadata={"topic": "z"})
    assert client.chat.completions.retrieve(id).to_dict()["metadata"] == {"topic": "z"}
    with pytest.raises(NotFoundError):
        client.with_options(api_key="other").chat.completions.retrieve(id)
    assert client.chat.completions.delete(id).deleted
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(id)
    with pytest.raises(NotFoundError):
        ask(client, previous_response_id=id)


def test_nothing_is_stored_unasked(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        client.chat.completions.retrieve(ask(client).id)


def test_a_chat_can_send_only_its_new_message(client: OpenAI) -> None:
    first = ask(client, store=True)
    second = ask(client, "More", previous_response_id=first.id, store=True)
    assert cached(second) == first.usage.total_tokens
    third = ask(client, "And more", previous_response_id=second.id)
    assert cached(third) == second.usage.total_tokens


def test_a_chat_goes_on_from_a_response_and_a_response_from_a_chat(client: OpenAI) -> None:
    response = client.responses.create(
        model="tiny", input="To begin", max_output_tokens=4, extra_body={"logit_bias": {"0": -100}}
    )
    assert response.usage is not None
    chat = ask(client, "On", previous_response_id=response.id, store=True)
    assert cached(chat) == response.usage.total_tokens
    last = client.responses.create(
        model="tiny", input="Back", previous_response_id=chat.id, max_output_tokens=1
    )
    assert last.usage is not None
    assert last.usage.input_tokens_details.cached_tokens == chat.usage.total_tokens


def test_a_conversation_has_every_chat_that_was_added_to_it(client: OpenAI) -> None:
    conversation = client.conversations.create()
    for text in ("First", "Second", "Third"):
        ask(client, text, conversation=conversation.id)
    items: Any = client.conversations.items.list(conversation.id, order="asc").data
    assert [one.content[0].text for one in items[::2]] == ["First", "Second", "Third"]
    assert len({one.id for one in items}) == 6


def test_chats_and_responses_share_a_conversation(client: OpenAI) -> None:
    conversation = client.conversations.create()
    first = ask(client, "One", conversation=conversation.id)
    second = client.responses.create(
        model="tiny", input="Two", conversation=conversation.id, max_output_tokens=1
    )
    assert second.usage is not None
    assert second.usage.input_tokens_details.cached_tokens == first.usage.total_tokens
    items = client.conversations.items.list(conversation.id, order="asc")
    assert [item.role for item in items] == ["user", "assistant"] * 2  # type: ignore[union-attr]


def test_a_custom_call_is_stored_as_what_it_is(client: OpenAI) -> None:
    form = {"type": "grammar", "grammar": {"syntax": "regex", "definition": '[ab]"'}}
    tool: Any = {"type": "custom", "custom": {"name": "code", "format": form}}
    conversation = client.conversations.create()
    options: Any = {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    options |= {"logit_bias": {}, "max_tokens": 200, "store": True}
    answer = ask(client, conversation=conversation.id, **options)
    (call,) = answer.choices[0].message.tool_calls
    found = client.chat.completions.retrieve(answer.id).choices[0].message.tool_calls
    assert found == [call]
    _, made = client.conversations.items.list(conversation.id, order="asc")
    assert (made.type, made.call_id, made.input) == ("custom_tool_call", call.id, call.custom.input)
