"""Conversations, and responses that add to them."""

from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from tests.server.api.responses.asking import ask, cached, total


def test_a_conversation_grows_by_what_is_said(client: OpenAI) -> None:
    first: Any = {"type": "message", "role": "system", "content": "Be kind."}
    conversation = client.conversations.create(items=[first], metadata={"topic": "x"})
    one = ask(client, conversation=conversation.id)
    two = ask(client, "More", conversation={"id": conversation.id})
    assert two.conversation.id == conversation.id
    assert cached(two) == total(one)
    items = list(client.conversations.items.list(conversation.id, order="asc"))
    assert [item.role for item in items] == ["system", "user", "assistant", "user", "assistant"]
    assert items[2].id == one.output[0].id


def test_a_response_of_a_conversation_can_be_branched_from(client: OpenAI) -> None:
    conversation = client.conversations.create()
    one = ask(client, conversation=conversation.id)
    ask(client, "More", conversation=conversation.id)
    assert cached(ask(client, "Other", previous_response_id=one.id)) == total(one)


def test_items_of_a_conversation_are_added_found_and_removed(client: OpenAI) -> None:
    conversation = client.conversations.create()
    said: Any = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    added = client.conversations.items.create(conversation.id, items=said)
    found = client.conversations.items.retrieve(added.data[1].id, conversation_id=conversation.id)
    assert found == added.data[1]
    client.conversations.items.delete(added.data[0].id, conversation_id=conversation.id)
    assert list(client.conversations.items.list(conversation.id)) == [found]
    with pytest.raises(NotFoundError):
        client.conversations.items.retrieve(added.data[0].id, conversation_id=conversation.id)


def test_a_conversation_can_be_renamed_and_deleted(client: OpenAI, stranger: OpenAI) -> None:
    conversation = client.conversations.create(metadata={"topic": "x"})
    client.conversations.update(conversation.id, metadata={"topic": "y"})
    assert client.conversations.retrieve(conversation.id).metadata == {"topic": "y"}
    with pytest.raises(NotFoundError):
        stranger.conversations.retrieve(conversation.id)
    with pytest.raises(NotFoundError):
        ask(stranger, conversation=conversation.id)
    assert client.conversations.delete(conversation.id).deleted
    with pytest.raises(NotFoundError) as missing:
        ask(client, conversation=conversation.id)
    assert missing.value.param == "conversation"
