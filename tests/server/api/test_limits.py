"""Limits of a key: the OpenAI SDK against a real server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, RateLimitError

from server.api.limits import duration
from server.app import App
from tests.server.api.test_sdk import ENDLESS, ask, eventually
from tests.server.tiny import checkpoint, served


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture
def serving(path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, App]]:
    options = {f"server__{name}": value for name, value in request.param.items()}
    with served(path, server__api_keys=["key", "other"], **options) as both:
        yield both


@pytest.fixture
def clients(serving: tuple[str, App]) -> Iterator[list[OpenAI]]:
    def client(key: str) -> OpenAI:
        return OpenAI(base_url=f"{serving[0]}/v1", api_key=key, max_retries=0)

    with client("key") as one, client("other") as other:
        yield [one, other]


def limited(**limits: Any) -> Any:
    return pytest.mark.parametrize("serving", [limits], indirect=True)


def refusal(client: OpenAI, **fields: Any) -> Any:
    with pytest.raises(RateLimitError) as refused:
        ask(client, **fields)
    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    return refused.value.response


@limited(max_concurrent_per_key=1)
def test_a_key_has_so_many_requests_under_way(
    clients: list[OpenAI], serving: tuple[str, App]
) -> None:
    client, other = clients
    running = ask(client, stream=True, **ENDLESS)
    next(running)
    refusal(client)
    assert ask(other).choices
    assert client.models.list().data  # what computes nothing is free
    running.close()
    assert eventually(lambda: serving[1].catalogue.in_flight == 0)
    assert ask(client).choices


@limited(max_concurrent_per_key=1)
def test_a_response_in_the_background_is_under_way_until_it_ends(clients: list[OpenAI]) -> None:
    client, _ = clients
    endless = {"max_output_tokens": 1_000_000, "logit_bias": {"0": -100}}
    going = client.responses.create(model="tiny", input="Hi", background=True, extra_body=endless)
    refusal(client)
    client.responses.cancel(going.id)
    assert ask(client).choices


@limited(requests_per_minute_per_key=1)
def test_what_computes_nothing_is_not_counted(clients: list[OpenAI]) -> None:
    client, _ = clients
    for _ in range(2):
        begun = client.conversations.create()
        client.conversations.update(begun.id, metadata={"a": "b"})
        client.responses.input_tokens.count(model="tiny", input="Hi")
    assert ask(client).choices
    refusal(client)


@limited(requests_per_minute_per_key=2)
def test_a_key_has_so_many_requests_in_a_minute(clients: list[OpenAI]) -> None:
    client, other = clients
    raw = client.with_raw_response.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=1
    )
    assert raw.headers["x-ratelimit-limit-requests"] == "2"
    assert raw.headers["x-ratelimit-remaining-requests"] == "1"
    assert raw.headers["x-ratelimit-reset-requests"].endswith("s")
    assert "x-ratelimit-limit-tokens" not in raw.headers
    ask(client)
    assert refusal(client).headers["x-ratelimit-remaining-requests"] == "0"
    assert ask(other).choices


@limited(tokens_per_minute_per_key=100)
def test_a_key_has_so_many_tokens_in_a_minute(clients: list[OpenAI]) -> None:
    client, _ = clients
    used = ask(client, max_tokens=60, logit_bias={"0": -100}).usage.total_tokens
    assert used > 60
    with client.embeddings.with_streaming_response.create(model="tiny", input="x" * 60) as raw:
        remaining = int(raw.headers["x-ratelimit-remaining-tokens"])
    assert remaining < 100 - used + 5
    while remaining > 0:
        answer = client.with_raw_response.completions.create(model="tiny", prompt="x" * 60)
        remaining = int(answer.headers["x-ratelimit-remaining-tokens"])
    refusal(client)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.0201, "21ms"), (1.5, "1.5s"), (59.9999, "60s"), (360, "6m0s"), (90, "1m30s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
