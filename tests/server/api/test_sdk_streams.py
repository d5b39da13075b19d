"""What streams hold beside text, read with the official SDKs from a real server.

A failure on the way is here one that any server can have: an answer whose stream has begun, and
that finds no slot in time.
"""

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic
from openai import APIError, OpenAI

from models import gosling
from server.api import answers
from tests.server.api.stream_fields import CUSTOM_CALLED, HELLO
from tests.server.tiny import served

MODEL: Any = {"model": "gosling"}
HELD: Any = {"max_tokens": 1_000_000, "extra_body": {"ignore_eos": True}}
LATE = "there was no slot for this answer in time"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Of a server with one slot, whose streams begin before they have it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PING_S", 0.01)
        with served(gosling.PATH, engine__max_slots=1, engine__max_wait_s=0.2) as (url, _):
            yield url


@pytest.fixture
def openai(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=url, api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def busy(openai: OpenAI) -> Iterator[None]:
    """The slot is taken."""
    with openai.chat.completions.create(messages=HELLO, stream=True, **MODEL, **HELD) as running:
        next(running)
        yield


def test_a_custom_call_is_read_from_chunks(openai: OpenAI) -> None:
    fields: Any = {**MODEL, "messages": HELLO, "temperature": 0, **CUSTOM_CALLED}
    (call,) = openai.chat.completions.create(**fields).choices[0].message.tool_calls or ()
    chunks = [chunk.choices[0] for chunk in openai.chat.completions.create(stream=True, **fields)]
    calls: list[Any] = [one for chunk in chunks for one in chunk.delta.tool_calls or ()]
    assert {one.index for one in calls} == {0}
    assert [(one.type, bool(one.id)) for one in calls] == [
        ("custom", True),
        *((None, False) for _ in calls[1:]),
    ]
    # A field that the SDK has no type for yet, and so gives as it came.
    assert [one.custom.get("name") for one in calls] == ["code", *(None for _ in calls[1:])]
    assert call.type == "custom"
    assert "".join(one.custom["input"] for one in calls) == call.custom.input
    assert {one.function for one in calls} == {None}
    assert chunks[-1].finish_reason == "tool_calls"


def test_a_ping_is_an_event_that_the_sdk_passes_over(claude: Anthropic) -> None:
    fields: Any = {**MODEL, "messages": HELLO, "max_tokens": 3}
    raw: Any = claude.messages.with_raw_response.create(stream=True, **fields)
    sent = [(one.event, one.json()) for one in anthropic.Stream.raw_events(raw.http_response)]
    assert ("ping", {"type": "ping"}) in sent
    read = [event.type for event in claude.messages.create(stream=True, **fields)]
    assert read[:2] == ["message_start", "content_block_start"]
    assert "ping" not in read
    with claude.messages.stream(**fields) as stream:
        assert stream.get_final_message().usage.output_tokens == 3


OPENAI: dict[str, Callable[[OpenAI], Any]] = {
    "a chat": lambda client: client.chat.completions.create(
        messages=HELLO, stream=True, max_tokens=3, **MODEL
    ),
    "a completion": lambda client: client.completions.create(
        prompt="Hello", stream=True, max_tokens=3, **MODEL
    ),
}


@pytest.mark.parametrize("ask", OPENAI.values(), ids=OPENAI)
@pytest.mark.usefixtures("busy")
def test_a_failure_on_the_way_is_an_error_of_the_sdk(
    openai: OpenAI, ask: Callable[[OpenAI], Any]
) -> None:
    stream = ask(openai)
    with pytest.raises(APIError) as broken:
        for _ in stream:
            pass
    error = broken.value
    assert (error.message, error.type, error.param, error.code) == (
        LATE,
        "server_error",
        None,
        "queue_timeout",
    )


@pytest.mark.usefixtures("busy")
def test_a_failure_on_the_way_ends_the_helper_of_chats(openai: OpenAI) -> None:
    with (
        pytest.raises(APIError, match=LATE),
        openai.chat.completions.stream(messages=HELLO, max_tokens=3, **MODEL) as stream,
    ):
        stream.until_done()


@pytest.mark.usefixtures("busy")
def test_a_failure_on_the_way_is_the_end_of_a_response(openai: OpenAI) -> None:
    last = list(openai.responses.create(input="Hello", stream=True, background=True, **MODEL))[-1]
    assert last.type == "response.failed"
    assert last.response.error is not None
    assert last.response.error.message == LATE


@pytest.mark.usefixtures("busy")
def test_a_failure_on_the_way_is_an_error_of_anthropics_sdk(claude: Anthropic) -> None:
    stream = claude.messages.create(messages=HELLO, max_tokens=3, stream=True, **MODEL)
    with pytest.raises(anthropic.APIStatusError) as broken:
        for _ in stream:
            pass
    body: Any = broken.value.body
    assert body["error"] == {"type": "overloaded_error", "message": LATE}
    assert body["request_id"] == broken.value.request_id
