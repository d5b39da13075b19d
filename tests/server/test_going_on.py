"""Answers that go on from the assistant's words, through real clients and a real server."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic
from openai import BadRequestError, OpenAI
from openai.types.chat import ChatCompletion

from tests.serving import server

ASKED = {"role": "user", "content": "Please count from 3 to 12."}
GO_ON: Any = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with server("--model", "gosling", "--device", "cpu", "--dtype", "float32") as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
        yield client


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def ask(client: OpenAI, *messages: Any, extra: Any = None, **options: Any) -> ChatCompletion:
    arguments = {"model": "gosling", "temperature": 0, **options}
    return client.chat.completions.create(messages=messages, extra_body=extra, **arguments)


def text(answer: ChatCompletion) -> str:
    return answer.choices[0].message.content or ""


def read(answer: ChatCompletion) -> int:
    """How many tokens of the prompt were computed."""
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    return usage.prompt_tokens - (usage.prompt_tokens_details.cached_tokens or 0)


@pytest.mark.parametrize("cut", [2, 4, 9])
def test_an_answer_that_was_cut_goes_on_where_it_was_and_reads_nothing(
    client: OpenAI, cut: int
) -> None:
    salt = {"cache_salt": str(cut)}
    whole = ask(client, ASKED)
    part = ask(client, ASKED, max_tokens=cut, extra=salt)
    assert part.choices[0].finish_reason == "length"
    rest = ask(client, ASKED, said(text(part)), extra=GO_ON | salt)
    assert text(part) + text(rest) == text(whole)
    assert read(rest) == 0


def test_words_that_the_caller_made_up_are_gone_on_from(client: OpenAI) -> None:
    answer = ask(client, ASKED, said("3, 4, 5,"), extra=GO_ON)
    assert text(answer) == " 6, 7, 8, 9, 10, 11, 12."


def test_a_follow_up_knows_the_words_and_the_answer_as_one_message(client: OpenAI) -> None:
    answer = ask(client, ASKED, said("3, 4,"), extra=GO_ON)
    thanks = {"role": "user", "content": "Thanks!"}
    follow_up = ask(client, ASKED, said("3, 4," + text(answer)), thanks)
    alone = client.post(
        "/../tokenize",
        body={"model": "gosling", "messages": [thanks]},
        cast_to=httpx.Response,
    ).json()
    assert read(follow_up) <= alone["count"] + 1  # blank lines stand before it here


def test_an_echo_tells_the_words_first(client: OpenAI) -> None:
    extra = GO_ON | {"echo": True}
    whole = ask(client, ASKED, said("3, 4,"), extra=extra, n=2)
    assert {choice.message.content for choice in whole.choices} == {
        "3, 4, 5, 6, 7, 8, 9, 10, 11, 12."
    }
    stream = client.chat.completions.create(
        model="gosling",
        messages=[ASKED, said("3, 4,")],  # type: ignore[list-item]
        temperature=0,
        stream=True,
        extra_body=extra,
    )
    pieces = [chunk.choices[0].delta.content for chunk in stream]
    assert "".join(piece or "" for piece in pieces) == text(whole)


def test_the_likelihoods_are_those_of_the_rest(client: OpenAI) -> None:
    answer = ask(client, ASKED, said("3, 4,"), extra=GO_ON, logprobs=True)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    written = b"".join(bytes(token.bytes or ()) for token in logprobs.content)
    assert written.decode() == text(answer) != text(answer).lstrip()


def test_its_prompt_is_tokenised_as_it_is_read(url: str, client: OpenAI) -> None:
    messages = [ASKED, said("3, 4,")]
    body = {"messages": messages, "continue_final_message": True}
    answer = ask(client, *messages, extra=GO_ON | {"return_token_ids": True})
    tokens = httpx.post(url + "/tokenize", json=body).json()["tokens"]
    assert tokens == answer.prompt_token_ids  # type: ignore[attr-defined]


REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "no answer": ([ASKED], GO_ON, "continue_final_message"),
    "no words": ([ASKED, said(" ")], GO_ON, "continue_final_message"),
    "another answer": (
        [ASKED, said("3")],
        {"continue_final_message": True, "add_generation_prompt": True},
        "add_generation_prompt",
    ),
    "no answer to begin": ([ASKED], {"add_generation_prompt": False}, "add_generation_prompt"),
    "an echo of nothing": ([ASKED], {"echo": True}, "echo"),
    "likelihoods of an echo": (
        [ASKED, said("3")],
        GO_ON | {"echo": True, "logprobs": True},
        "logprobs",
    ),
    "a thought": (
        [ASKED, said("3")],
        GO_ON | {"reasoning_effort": "low"},
        "continue_final_message",
    ),
    "a form": (
        [ASKED, said("3")],
        GO_ON | {"response_format": {"type": "json_object"}},
        "continue_final_message",
    ),
    "kept": ([ASKED, said("3")], GO_ON | {"store": True}, "store"),
}


@pytest.mark.parametrize(("messages", "fields", "param"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_go_on_is_refused_by_name(
    client: OpenAI, messages: list[Any], fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, *messages, extra=fields)
    assert refused.value.param == param
    assert param in refused.value.message


def test_a_required_call_is_refused(client: OpenAI) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(BadRequestError) as refused:
        ask(client, ASKED, said("3"), extra=GO_ON, tools=[tool], tool_choice="required")
    assert refused.value.param == "continue_final_message"


def test_anthropics_clients_begin_an_answer_with_its_first_words(url: str) -> None:
    messages: Any = [ASKED, said("3, 4, 5,")]
    with Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        answer = client.messages.create(
            model="gosling", max_tokens=40, messages=messages, extra_body={"temperature": 0}
        )
        counted = client.messages.count_tokens(model="gosling", messages=messages)
    assert [block.to_dict() for block in answer.content] == [
        {"type": "text", "text": " 6, 7, 8, 9, 10, 11, 12."}
    ]
    cached = answer.usage.cache_read_input_tokens or 0
    assert counted.input_tokens == answer.usage.input_tokens + cached
