"""Responses that go on from others, at the price of their new words."""

from typing import Any

import pytest
from openai import NotFoundError, OpenAI

from tests.server.api.responses.asking import ask, cached, total


def test_a_follow_up_costs_only_its_new_words(client: OpenAI) -> None:
    first = ask(client)
    second = ask(client, "More", previous_response_id=first.id)
    assert cached(second) == total(first)
    third = ask(client, "And more", previous_response_id=second.id)
    assert cached(third) == total(second)


def test_one_response_can_be_continued_twice(client: OpenAI) -> None:
    first = ask(client)
    one, two = (ask(client, word, previous_response_id=first.id) for word in ("One", "Two"))
    assert cached(one) == cached(two) == total(first)
    assert {one.previous_response_id, two.previous_response_id} == {first.id}


def test_a_client_that_sends_everything_back_costs_no_more(client: OpenAI) -> None:
    first = ask(client, store=False)
    said = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        *(item.to_dict(exclude_unset=True) for item in first.output),
        {"type": "message", "role": "user", "content": "Sent back"},
    ]
    assert cached(ask(client, said, store=False)) == total(first)


def test_instructions_are_not_inherited(client: OpenAI) -> None:
    first = ask(client, instructions="Be brief and kind to all.")
    with_them = client.responses.input_tokens.count(
        input="More", previous_response_id=first.id, instructions="Be brief and kind to all."
    )
    without = client.responses.input_tokens.count(input="More", previous_response_id=first.id)
    assert without.input_tokens < with_them.input_tokens


def test_an_item_can_be_named_in_place_of_being_sent(client: OpenAI) -> None:
    first = ask(client)
    said: Any = [
        {"role": "user", "content": "Hello"},
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "By name"},
    ]
    assert cached(ask(client, said)) == total(first)
    with pytest.raises(NotFoundError) as missing:
        ask(client, [{"type": "item_reference", "id": "msg_1"}])
    assert missing.value.param == "input.0.id"
