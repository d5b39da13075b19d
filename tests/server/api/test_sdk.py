"""The OpenAI SDK against a real server with a real, if random, model."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openai import (
    APIStatusError,
    APITimeoutError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)

from server.app import App
from tests.server.api.test_bad_input import BODIES, FIELDS
from tests.server.tiny import checkpoint, served

HELLO: Any = [{"role": "user", "content": "Hello"}]
USAGE: Any = {"stream_options": {"include_usage": True}}
CAPACITY = 4 + 2  # slots and queue
ENDLESS: Any = {"max_tokens": 1_000_000, "logit_bias": {"0": -100}}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, App]]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with served(path, server__api_keys=["key"], engine__max_slots=4, engine__max_queue=2) as both:
        yield both


def ask(client: OpenAI, **fields: Any) -> Any:
    arguments = {"model": "tiny", "messages": HELLO, "max_tokens": 12, "seed": 1, **fields}
    return client.chat.completions.create(**arguments)


def eventually(true: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def test_a_stream_says_what_a_whole_answer_says(client: OpenAI) -> None:
    whole = ask(client)
    stream = ask(client, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert text == whole.choices[0].message.content
    assert text


def test_the_raw_answer_has_the_id_that_was_sent(client: OpenAI) -> None:
    raw = client.with_raw_response.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=1, extra_headers={"x-request-id": "mine"}
    )
    assert raw.parse()._request_id == "mine"


def test_the_stream_helper_ends_with_the_whole_completion(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="tiny",
        messages=HELLO,
        n=2,
        logit_bias={"0": 100},
        stream_options={"include_usage": True},
    ) as stream:
        completion = stream.get_final_completion()
    assert [choice.finish_reason for choice in completion.choices] == ["stop", "stop"]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 2


def test_a_follow_up_comes_from_the_kept_state(client: OpenAI) -> None:
    first = ask(client)
    answer = {"role": "assistant", "content": first.choices[0].message.content}
    usage = ask(client, messages=[*HELLO, answer, *HELLO]).usage
    assert usage.prompt_tokens_details.cached_tokens > 12


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_come_apart_from_the_answer(client: OpenAI, stream: bool) -> None:
    """The model is random: once its thought was begun for it, it finds no end."""
    usage: Any
    if stream:
        chunks = list(ask(client, stream=True, reasoning_effort="low", **USAGE))
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        thought = "".join(getattr(delta, "reasoning_content", "") for delta in deltas)
        text, usage = "".join(delta.content or "" for delta in deltas), chunks[-1].usage
    else:
        whole = ask(client, reasoning_effort="low")
        message, usage = whole.choices[0].message, whole.usage
        thought, text = message.reasoning_content, message.content
    assert thought
    assert text == ""
    assert usage.completion_tokens_details.reasoning_tokens == 12


def test_a_follow_up_to_a_thought_comes_from_the_kept_state(client: OpenAI) -> None:
    talk = [*HELLO, {"role": "assistant", "content": "Yes?"}, *HELLO]
    first = ask(client, messages=talk, reasoning_effort="high")
    sent_back = [*talk, first.choices[0].message, *HELLO]
    options: Any = {"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
    second = ask(client, messages=sent_back, **options)
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert cached == first.usage.prompt_tokens + 12
    assert not hasattr(second.choices[0].message, "reasoning_content")


def test_models_are_listed_and_found(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "rwkv-server"


def test_mistakes_are_the_exceptions_the_sdk_has_for_them(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as bad:
        ask(client, temperature=3)
    assert (bad.value.param, bad.value.code) == ("temperature", "invalid_value")
    with pytest.raises(NotFoundError):
        ask(client, model="gpt-4o")
    with pytest.raises(AuthenticationError):
        ask(client.with_options(api_key="wrong"))


def test_too_many_answers_at_once_are_429(client: OpenAI, app: App) -> None:
    running = ask(client, stream=True, n=CAPACITY, **ENDLESS)
    with pytest.raises(RateLimitError) as busy:
        ask(client)
    assert busy.value.response.headers["retry-after"]
    running.close()
    assert eventually(lambda: app.catalogue.in_flight == 0)


def test_more_choices_than_can_ever_run_are_a_mistake(client: OpenAI, app: App) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, n=CAPACITY + 1)
    assert refused.value.param == "n"


@pytest.mark.parametrize("n", [1, 2])
def test_closing_a_stream_frees_its_slots(client: OpenAI, app: App, n: int) -> None:
    stream = ask(client, stream=True, n=n, **ENDLESS)
    next(stream)
    assert app.catalogue.in_flight == n
    stream.close()
    assert eventually(lambda: app.catalogue.in_flight == 0)


def test_giving_up_a_whole_answer_frees_its_slots(client: OpenAI, app: App) -> None:
    with pytest.raises(APITimeoutError):
        ask(client, timeout=0.3, **ENDLESS)
    assert eventually(lambda: app.catalogue.in_flight == 0)


async def test_abrupt_disconnects_leave_nothing_behind(serving: tuple[str, App]) -> None:
    url, app = serving
    body = {"model": "tiny", "messages": HELLO, "stream": True, **ENDLESS}
    headers = {"authorization": "Bearer key"}

    async def visit() -> None:
        async with (
            httpx.AsyncClient(headers=headers) as visitor,
            visitor.stream("POST", f"{url}/v1/chat/completions", json=body) as response,
        ):
            await anext(response.aiter_raw())

    for _ in range(10):
        await asyncio.gather(*(visit() for _ in range(3)))
    assert await asyncio.to_thread(eventually, lambda: app.catalogue.in_flight == 0)


async def test_many_streams_at_once_each_get_their_own_answer(serving: tuple[str, App]) -> None:
    async with AsyncOpenAI(base_url=f"{serving[0]}/v1", api_key="key") as client:

        async def text(seed: int) -> str:
            stream = await client.chat.completions.create(
                model="tiny", messages=HELLO, max_tokens=20, seed=seed, stream=True
            )
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        alone = [await text(seed) for seed in range(6)]
        assert await asyncio.gather(*(text(seed) for seed in range(6))) == alone
    assert len(set(alone)) > 1


def test_a_connection_survives_a_stream(serving: tuple[str, App]) -> None:
    url, _ = serving
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 3, "stream": True}
    with httpx.Client(base_url=url, headers={"authorization": "Bearer key"}) as client:
        first = client.post("/v1/chat/completions", json=body)
        second = client.post("/v1/chat/completions", json=body)
        port = first.extensions["network_stream"].get_extra_info("client_addr")
        assert second.extensions["network_stream"].get_extra_info("client_addr") == port


def test_a_chunked_body_beyond_the_limit_is_413(serving: tuple[str, App]) -> None:
    url, _ = serving
    headers = {"authorization": "Bearer key", "content-type": "application/json"}
    content = (b"[" * 65536 for _ in range(700))
    try:
        response = httpx.post(f"{url}/v1/chat/completions", content=content, headers=headers)
    except httpx.WriteError:
        pytest.fail("the answer did not arrive before the connection was cut")
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "request_too_large"


def test_an_answer_in_the_background_leaves_the_queue_to_others(client: OpenAI, app: App) -> None:
    running = ask(client, stream=True, n=CAPACITY, extra_body={"priority": 1}, **ENDLESS)
    assert ask(client).choices[0].message.content
    running.close()
    assert eventually(lambda: app.catalogue.in_flight == 0)


def test_nobody_goes_before_the_others(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(client, extra_body={"priority": -1})
    assert refused.value.param == "priority"


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_finds_no_slot_in_time_is_a_503(
    tmp_path_factory: pytest.TempPathFactory, stream: bool
) -> None:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with (
        served(path, engine__max_slots=1, engine__max_wait_s=0.2) as (url, app),
        OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0) as client,
    ):
        running = ask(client, stream=True, **ENDLESS)
        next(running)
        with pytest.raises(InternalServerError) as late:
            ask(client, stream=stream)
        assert (late.value.status_code, late.value.code) == (503, "queue_timeout")
        assert late.value.response.headers["retry-after"]
        running.close()
        assert eventually(lambda: app.catalogue.in_flight == 0)


def test_errors_of_the_sdk_carry_the_request_id(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as error:
        ask(client, n=0)
    assert error.value.request_id


def test_no_mistake_of_a_client_ends_a_real_connection_or_server(
    client: OpenAI, serving: tuple[str, App]
) -> None:
    good = {"model": "tiny", "messages": HELLO}
    bodies = [data for data, _, _ in BODIES.values()]
    bodies += [json.dumps(good | fields).encode() for fields, _, _ in FIELDS.values()]
    headers = {"authorization": "Bearer key", "content-type": "application/json"}
    with httpx.Client(base_url=serving[0], headers=headers) as visitor:
        for data in bodies:
            response = visitor.post("/v1/chat/completions", content=data)
            # Ids of logit_bias and stop_token_ids beyond the double's vocabulary are good here.
            assert response.status_code in {200, 400, 413}
            assert response.status_code == 200 or set(response.json()) == {"error"}
    assert ask(client).choices[0].message.content
