"""Responses and conversations through the OpenAI SDK, with a real server and a real model."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from openai.types.responses import Response
from pydantic import BaseModel

from server.app import App
from tests.server.tiny import checkpoint, served

ENDLESS: Any = {"max_output_tokens": 1_000_000, "extra_body": {"logit_bias": {"0": -100}}}
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "name": "f", "parameters": PARAMETERS, "strict": True}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    keys = ["key", "other"]
    with served(path, server__api_keys=keys, engine__max_slots=4, engine__max_queue=2) as both:
        yield both


@pytest.fixture
def client(serving: tuple[str, App]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="key", max_retries=0) as client:
        yield client


@pytest.fixture
def stranger(serving: tuple[str, App]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="other", max_retries=0) as client:
        yield client


def ask(client: OpenAI, given: Any = "Hello", **fields: Any) -> Any:
    arguments = {"model": "tiny", "max_output_tokens": 8, **fields}
    extra = {"seed": 1, "logit_bias": {"0": -100}, **arguments.pop("extra_body", {})}
    found = client.responses.create(input=given, extra_body=extra, **arguments)
    if isinstance(found, Response):
        Response.model_validate(found.to_dict(), strict=True)
    return found


def total(response: Response) -> int:
    assert response.usage is not None
    return response.usage.input_tokens + response.usage.output_tokens


def cached(response: Response) -> int:
    assert response.usage is not None
    return response.usage.input_tokens_details.cached_tokens


def test_an_answer_is_complete(client: OpenAI) -> None:
    response = ask(client, extra_body={"logit_bias": {"0": 100}})
    assert response.status == "completed"
    assert response.output[0].content[0].text == response.output_text == ""
    assert response.usage.output_tokens == 1


def test_an_answer_that_was_cut_says_why(client: OpenAI) -> None:
    response = ask(client)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"
    assert response.output_text


def test_a_stream_says_what_a_whole_answer_says(client: OpenAI) -> None:
    events = list(ask(client, stream=True))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == ask(client).output_text
    assert events[-1].response.output_text == text


def test_the_stream_helper_ends_with_the_response(client: OpenAI) -> None:
    with client.responses.stream(
        model="tiny", input="Hello", extra_body={"logit_bias": {"0": 100}}
    ) as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    assert client.responses.retrieve(response.id).to_dict() == {
        **client.responses.retrieve(response.id).to_dict(),
        "id": response.id,
        "status": "completed",
    }


async def test_the_async_client_streams(serving: tuple[str, App]) -> None:
    async with AsyncOpenAI(base_url=f"{serving[0]}/v1", api_key="key") as client:
        stream = await client.responses.create(
            model="tiny", input="Hello", max_output_tokens=3, stream=True
        )
        types = [event.type async for event in stream]
    assert types[0] == "response.created"
    assert types[-1] == "response.incomplete"


class Sum(BaseModel):
    a: int


def test_what_is_parsed_fits_its_schema(client: OpenAI) -> None:
    response = client.responses.parse(
        model="tiny",
        input="Hello",
        text_format=Sum,
        max_output_tokens=400,
        extra_body={"logit_bias": {}, "seed": 3, "temperature": 0},
    )
    if response.status == "completed":
        assert isinstance(response.output_parsed, Sum)
    assert response.output_text.startswith("{")


def test_a_required_call_is_a_function_call(client: OpenAI) -> None:
    response = ask(client, tools=[TOOL], tool_choice="required", max_output_tokens=100)
    call = response.output[0]
    assert (call.type, call.name) == ("function_call", "f")
    assert call.id != call.call_id
    assert call.id.startswith("fc_")
    assert call.call_id.startswith("call_")


LINES: Any = {
    "type": "custom",
    "name": "lines",
    "format": {"type": "grammar", "syntax": "regex", "definition": '([ab]"\n){1,3}'},
}


def test_a_custom_call_has_its_text_and_goes_on(client: OpenAI) -> None:
    fields: Any = {"tools": [LINES], "max_output_tokens": 200, "parallel_tool_calls": False}
    chosen = {"type": "custom", "name": "lines"}
    first = ask(client, tool_choice=chosen, **fields)
    assert first.status == "completed", first.output
    (call,) = first.output
    assert (call.type, call.name) == ("custom_tool_call", "lines")
    assert re.fullmatch('([ab]"\n){1,3}', call.input)
    assert first.tool_choice.to_dict() == chosen
    assert first.tools[0].to_dict() == LINES
    output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "4"}
    by_id = ask(client, [output], previous_response_id=first.id, **fields)
    whole = [{"role": "user", "content": "Hello"}, call.to_dict(), output]
    by_items = ask(client, whole, **fields)
    assert total(by_id) == total(by_items)
    assert cached(by_id) > first.usage.input_tokens
    assert cached(by_items) > first.usage.input_tokens


def test_a_custom_call_is_streamed(client: OpenAI) -> None:
    options: Any = {"tools": [LINES], "tool_choice": "required", "max_output_tokens": 200}
    with client.responses.stream(model="tiny", input="Hello", **options) as stream:
        events = list(stream)
    deltas = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    done = [e.input for e in events if e.type == "response.custom_tool_call_input.done"]
    assert "".join(deltas) == "".join(done)
    assert done


def test_a_result_goes_on_from_the_call(client: OpenAI) -> None:
    fields: Any = {"tools": [TOOL], "max_output_tokens": 100}
    first = ask(client, tool_choice="required", **fields)
    assert first.status == "completed", first.output
    assert json.loads(first.output[0].arguments).keys() == {"a"}
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "7"}
    second = ask(client, [result], previous_response_id=first.id, **fields)
    assert cached(second) > first.usage.input_tokens


def test_a_call_sent_back_with_its_result_costs_no_more(client: OpenAI) -> None:
    fields: Any = {"tools": [TOOL], "max_output_tokens": 100}
    first = ask(client, tool_choice="required", **fields)
    call = first.output[0]
    said: Any = [
        {"role": "user", "content": "Hello"},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "8"},
    ]
    assert cached(ask(client, said, **fields)) > first.usage.input_tokens


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


def test_thoughts_are_items_of_their_own(client: OpenAI) -> None:
    response = ask(client, reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in response.output] == ["reasoning"]
    assert response.output[0].content[0].text
    assert response.usage.output_tokens_details.reasoning_tokens == 8
    second = ask(client, "More", previous_response_id=response.id)
    assert cached(second) == total(response)


def test_instructions_are_not_inherited(client: OpenAI) -> None:
    first = ask(client, instructions="Be brief and kind to all.")
    with_them = client.responses.input_tokens.count(
        input="More", previous_response_id=first.id, instructions="Be brief and kind to all."
    )
    without = client.responses.input_tokens.count(input="More", previous_response_id=first.id)
    assert without.input_tokens < with_them.input_tokens


def test_what_is_counted_is_what_is_read(client: OpenAI) -> None:
    counted = client.responses.input_tokens.count(model="tiny", input="Hello, how are you?")
    assert counted.input_tokens == ask(client, "Hello, how are you?").usage.input_tokens


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


def test_likelihoods_come_where_they_are_asked_for(client: OpenAI) -> None:
    fields: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    part = ask(client, **fields).output[0].content[0]
    data = b"".join(bytes(one.bytes) for one in part.logprobs)
    assert data.decode("utf-8", errors="replace").startswith(part.text[:1])
    assert {len(one.top_logprobs) for one in part.logprobs} == {2}
    assert ask(client).output[0].content[0].logprobs == []
