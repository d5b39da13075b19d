"""Fields that cannot be honoured: each is a 400 that names it, and passes where it asks nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from server.api.chat.request import RefusedFields
from server.api.completions.request import RefusedCompletionFields
from server.api.fields import Refused
from server.api.messages.request import RefusedMessagesFields
from server.api.responses.request import RefusedResponseFields
from tests.server.api.doubles import Api

HELLO = [{"role": "user", "content": "Hello"}]
REQUESTS: list[tuple[str, type[BaseModel], dict[str, Any]]] = [
    ("/v1/chat/completions", RefusedFields, {"messages": HELLO}),
    ("/v1/completions", RefusedCompletionFields, {"prompt": "Hello"}),
    ("/v1/responses", RefusedResponseFields, {"input": "Hello"}),
    ("/v1/messages", RefusedMessagesFields, {"messages": HELLO, "max_tokens": 9}),
]


def refused() -> Iterator[Any]:
    for path, fields, needed in REQUESTS:
        for name, field in fields.model_fields.items():
            (mark,) = [one for one in field.metadata if isinstance(one, Refused)]
            asked = {"model": "tiny", **needed}
            yield pytest.param(path, asked, name, mark.neutral, id=f"{path}:{name}")


@pytest.mark.parametrize(("path", "asked", "name", "neutral"), list(refused()))
async def test_a_field_that_cannot_be_honoured_is_named(
    api: Api, path: str, asked: dict[str, Any], name: str, neutral: Any
) -> None:
    response = await api.client.post(path, json=asked | {name: {"x": 1}})
    assert response.status_code == 400
    assert response.json()["error"]["message"].startswith(f"{name} is not supported")
    for value in (None, *neutral):
        response = await api.client.post(path, json=asked | {name: value})
        assert f"{name} is not supported" not in response.text


def test_what_a_chat_says_is_not_passed_over_in_a_response() -> None:
    """A form or a limit that is asked for in a chat's words."""
    assert RefusedResponseFields.model_fields.keys() >= {
        *("response_format", "structured_outputs", "max_tokens", "max_completion_tokens"),
        *("messages", "functions", "reasoning_effort"),
    }


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "GZIP"])
async def test_a_compressed_body_is_refused_as_such(api: Api, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    response = await api.client.post("/v1/completions", content=b"\x1f\x8b", headers=headers)
    assert response.status_code == 415
    assert "Content-Encoding" in response.json()["error"]["message"]


async def test_no_alternatives_can_be_asked_for_without_likelihoods(api: Api) -> None:
    assert (await api.chat(top_logprobs=0)).status_code == 200
    assert (await api.chat(logprobs=False, top_logprobs=0)).status_code == 200
    assert (await api.chat(logprobs=False, top_logprobs=1)).status_code == 400


async def test_a_400_always_has_a_code(api: Api) -> None:
    """Also where whoever finds the mistake names none."""
    asked = {"model": "tiny", "prompt": "Hello", "n": 2, "best_of": 1}
    error = (await api.client.post("/v1/completions", json=asked)).json()["error"]
    assert (error["param"], error["code"]) == ("best_of", "invalid_value")
