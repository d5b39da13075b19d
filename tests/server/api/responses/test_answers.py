"""Responses through OpenAI's SDK, with a real model: whole, in streams, with thoughts."""

from typing import Any

from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from server.app import App
from tests.server.api.responses.asking import ask, cached, total


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


def test_thoughts_are_items_of_their_own(client: OpenAI) -> None:
    response = ask(client, reasoning={"effort": "low", "summary": "auto"})
    assert [item.type for item in response.output] == ["reasoning"]
    assert response.output[0].content[0].text
    assert response.usage.output_tokens_details.reasoning_tokens == 8
    second = ask(client, "More", previous_response_id=response.id)
    assert cached(second) == total(response)


def test_what_is_counted_is_what_is_read(client: OpenAI) -> None:
    counted = client.responses.input_tokens.count(model="tiny", input="Hello, how are you?")
    assert counted.input_tokens == ask(client, "Hello, how are you?").usage.input_tokens


def test_likelihoods_come_where_they_are_asked_for(client: OpenAI) -> None:
    fields: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    part = ask(client, **fields).output[0].content[0]
    data = b"".join(bytes(one.bytes) for one in part.logprobs)
    assert data.decode("utf-8", errors="replace").startswith(part.text[:1])
    assert {len(one.top_logprobs) for one in part.logprobs} == {2}
    assert ask(client).output[0].content[0].logprobs == []
