"""What is refused at /v1/messages, in Anthropic's words, and by name."""

from typing import Any

import pytest

from tests.server.api.doubles import Api

TEXT = {"type": "text", "text": "Hi"}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "a", "content": "1"}


def user(*blocks: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


FIELDS: dict[str, tuple[dict[str, Any], str]] = {
    "no max_tokens": ({"max_tokens": None}, "max_tokens"),
    "max_tokens 0": ({"max_tokens": 0}, "max_tokens"),
    "temperature above 1": ({"temperature": 1.5}, "temperature"),
    "top_k as text": ({"top_k": "5"}, "top_k"),
    "no messages": ({"messages": []}, "messages"),
    "an image": (user(TEXT, {"type": "image", "source": {}}), "messages.0.content.1.type"),
    "a document": (user({"type": "document", "source": {}}), "messages.0.content.0.type"),
    "a call of the user": (user(USE), "messages.0.content.0"),
    "a result without its call": (user(RESULT), "messages.0.content.0.tool_use_id"),
    "an answer begun with nothing": (
        {"messages": [{"role": "assistant", "content": " "}]},
        "messages.0",
    ),
    "a tool of Anthropic's": (
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        "tools.0.type",
    ),
    "a tool without schema": ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
    "a choice among no tools": ({"tool_choice": {"type": "any"}}, "tool_choice"),
    "a tool that is not there": (
        {
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "tool_choice": {"type": "tool", "name": "g"},
        },
        "tool_choice.name",
    ),
    "a budget too small": ({"thinking": {"type": "enabled", "budget_tokens": 1}}, "budget_tokens"),
    "no budget": ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
    "a container": ({"container": "x"}, "container"),
    "too long a stop": ({"stop_sequences": ["x" * 300]}, "stop_sequences.0"),
}


@pytest.mark.parametrize(("fields", "named"), FIELDS.values(), ids=FIELDS)
async def test_a_field_is_refused_by_name(api: Api, fields: dict[str, Any], named: str) -> None:
    body = {
        "model": "tiny",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
        **fields,
    }
    response = await api.client.post("/v1/messages", json=body)
    assert response.status_code == 400
    told = response.json()
    assert (told["type"], told["error"]["type"]) == ("error", "invalid_request_error")
    assert named in told["error"]["message"]
    assert told["request_id"] == response.headers["request-id"]
    assert api.service.requests == []


async def test_other_addresses_keep_openais_words(api: Api) -> None:
    assert list((await api.client.post("/v1/message", json={})).json()) == ["error"]
    assert (await api.client.get("/v1/messages")).json()["type"] == "error"


async def test_the_key_can_come_in_anthropics_header() -> None:
    api = Api(api_keys=["key"])
    headers = {"x-api-key": "key"}
    body: dict[str, Any] = {"model": "tiny", "max_tokens": 5, **user(TEXT)}
    assert (await api.client.post("/v1/messages", json=body, headers=headers)).status_code == 200
    assert (await api.client.get("/v1/models", headers=headers)).status_code == 200
