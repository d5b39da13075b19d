"""What is refused at /v1/responses and /v1/conversations, by name."""

from typing import Any

import pytest

from tests.server.api.doubles import Api, assert_error

RESULT = {"type": "function_call_output", "call_id": "a", "output": "1"}
CALL = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
TOOL = {"type": "function", "name": "f"}
CUSTOM = {"type": "custom", "name": "f"}
FIELDS: dict[str, tuple[dict[str, Any], str, int]] = {
    "no input": ({"input": None}, "input", 400),
    "an empty input": ({"input": []}, "input", 400),
    "an item as text": ({"input": ["Hi"]}, "input.0", 400),
    "a message without role": ({"input": [{"content": "Hi"}]}, "input.0.role", 400),
    "an image": (
        {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
        "input.0.content.0.type",
        400,
    ),
    "another item": ({"input": [{"type": "computer_call"}]}, "input.0.type", 400),
    "a result without its call": ({"input": [RESULT]}, "input.0.call_id", 400),
    "two calls of one id": ({"input": [CALL, CALL]}, "input.1.call_id", 400),
    "an unknown item": ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0.id", 404),
    "a custom tool of an unknown syntax": (
        {"tools": [{**CUSTOM, "format": {"type": "grammar", "definition": "a", "syntax": "x"}}]},
        "tools.0.format.syntax",
        400,
    ),
    "a tool that is called later": (
        {"tools": [{**CUSTOM, "async": True}]},
        "tools.0.async",
        400,
    ),
    "a tool that is looked up": (
        {"tools": [{**TOOL, "defer_loading": True}]},
        "tools.0.defer",
        400,
    ),
    "a tool without type": ({"tools": [{"name": "f"}]}, "tools.0.type", 400),
    "a custom choice of a function": (
        {"tools": [TOOL], "tool_choice": {"type": "custom", "name": "f"}},
        "tool_choice.name",
        400,
    ),
    "a text's result without its call": (
        {"input": [{**RESULT, "type": "custom_tool_call_output"}]},
        "input.0.call_id",
        400,
    ),
    "a part without type": (
        {"input": [{"role": "user", "content": [{"text": "x"}]}]},
        "input.0.content.0.type",
        400,
    ),
    "a hosted tool": ({"tools": [{"type": "web_search"}]}, "tools.0.type", 400),
    "two tools of one name": ({"tools": [TOOL, TOOL]}, "tools.1.name", 400),
    "a choice among none": ({"tool_choice": "required"}, "tool_choice", 400),
    "an unknown tool": (
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}},
        "tool_choice.name",
        400,
    ),
    "n": ({"n": 2}, "n", 400),
    "temperature": ({"temperature": 3}, "temperature", 400),
    "max_output_tokens": ({"max_output_tokens": 0}, "max_output_tokens", 400),
    "verbosity": ({"text": {"verbosity": "low"}}, "text.verbosity", 400),
    "a prompt": ({"prompt": {"id": "x"}}, "prompt", 400),
    "an unknown past": ({"previous_response_id": "resp_1"}, "previous_response_id", 404),
    "an unknown conversation": ({"conversation": "conv_1"}, "conversation", 404),
    "two pasts": (
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        "previous_response_id",
        400,
    ),
    "unstored in the background": ({"background": True, "store": False}, "background", 400),
    "an unknown model": ({"model": "other"}, "model", 404),
    "too much metadata": ({"metadata": {str(i): "" for i in range(17)}}, "metadata", 400),
}


@pytest.mark.parametrize(("fields", "param", "status"), FIELDS.values(), ids=FIELDS)
async def test_a_field_is_refused_by_name(
    api: Api, fields: dict[str, Any], param: str, status: int
) -> None:
    body = {"model": "tiny", "input": "Hi", **fields}
    error = assert_error(await api.client.post("/v1/responses", json=body), status)
    assert error["param"].startswith(param)
    assert api.service.requests == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "order=up", "after=msg_1"])
async def test_a_page_that_cannot_be_is_refused(api: Api, query: str) -> None:
    body = {"model": "tiny", "input": "Hi"}
    id = (await api.client.post("/v1/responses", json=body)).json()["id"]
    response = await api.client.get(f"/v1/responses/{id}/input_items?{query}")
    assert response.status_code in {400, 404}
    assert response.json()["error"]["param"] == query.partition("=")[0]


@pytest.mark.parametrize("path", ["stream=true", "stream=true&starting_after=x"])
async def test_a_response_that_was_no_stream_cannot_be_streamed_again(api: Api, path: str) -> None:
    body = {"model": "tiny", "input": "Hi"}
    id = (await api.client.post("/v1/responses", json=body)).json()["id"]
    assert_error(await api.client.get(f"/v1/responses/{id}?{path}"), 400)
    assert_error(await api.client.post(f"/v1/responses/{id}/cancel"), 400)


async def test_there_is_no_compaction(api: Api) -> None:
    body = {"model": "tiny", "input": "Hi"}
    assert_error(await api.client.post("/v1/responses/compact", json=body), 404)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"items": [RESULT]}, "items.0.call_id"),
        ({"items": [{"type": "item_reference", "id": "x"}]}, "items.0.type"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
async def test_a_conversation_takes_only_what_can_be_answered(
    api: Api, body: Any, param: str
) -> None:
    error = assert_error(await api.client.post("/v1/conversations", json=body), 400)
    assert error["param"] == param
