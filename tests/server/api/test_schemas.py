"""What the OpenAPI document says of answers, against answers of every kind."""

from typing import Any

import pytest
from jsonschema import ValidationError

from server.chat.types import ChoiceEnd, ReasoningDelta, TextDelta, ToolCallDelta
from tests.server.api.document import check
from tests.server.api.doubles import Api, Step

SAID: list[Step] = [
    ReasoningDelta(0, "Hm."),
    TextDelta(0, "Wait."),
    ToolCallDelta(0, 0, "", "call_a", "f"),
    ToolCallDelta(0, 0, "{}"),
    ToolCallDelta(0, 1, "", "call_b", "code", custom=True),
    ToolCallDelta(0, 1, "1", custom=True),
    ChoiceEnd(0, "tool_calls", 9),
]
TOOLS = [
    {"type": "function", "name": "f", "parameters": {"type": "object"}},
    {
        "type": "custom",
        "name": "code",
        "format": {"type": "grammar", "syntax": "regex", "definition": "1"},
    },
]
ITEMS: list[Any] = [
    {"role": "user", "content": "Hi"},
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "Hm.", "of": "another server"}, {"odd": 1}],
        "content": [{"type": "text", "text": "Hm, hm."}],
    },
    {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
    {"type": "custom_tool_call", "call_id": "b", "name": "code", "input": "1"},
    {"type": "function_call_output", "call_id": "a", "output": "4"},
    {
        "type": "custom_tool_call_output",
        "call_id": "b",
        "output": [{"type": "input_text", "text": "4"}],
    },
]


async def respond(api: Api, **fields: Any) -> Any:
    api.service.script = SAID
    response = await api.client.post("/v1/responses", json={"model": "tiny", **fields})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tool_choice": {"type": "custom", "name": "code"}, "reasoning": {"effort": "low"}},
        {
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "custom", "name": "code"}],
            },
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
        },
        {"text": {"format": {"type": "json_object"}}, "background": True},
    ],
)
async def test_a_response_is_as_documented(api: Api, fields: dict[str, Any]) -> None:
    answer = await respond(api, input="Hi", tools=TOOLS, **fields)
    check(answer, "/v1/responses")
    if not fields.get("background"):
        kinds = [item["type"] for item in answer["output"]]
        assert kinds == ["reasoning", "message", "function_call", "custom_tool_call"]


async def test_what_is_not_documented_is_seen(api: Api) -> None:
    answer = await respond(api, input="Hi", tools=TOOLS)
    for change in (
        {"output": [{**answer["output"][1], "extra": 1}]},
        {"output": [{**answer["output"][2], "arguments": None}]},
        {"tools": [{**TOOLS[0], "type": "other"}]},
        {"tool_choice": "maybe"},
    ):
        with pytest.raises(ValidationError):
            check({**answer, **change}, "/v1/responses")


async def test_items_are_as_documented(api: Api) -> None:
    answer = await respond(api, input=ITEMS)
    given = (await api.client.get(f"/v1/responses/{answer['id']}/input_items")).json()
    assert len(given["data"]) == len(ITEMS)
    check(given, "/v1/responses/{response_id}/input_items", "get")
    path = "/v1/conversations/{conversation_id}/items"
    id = (await api.client.post("/v1/conversations", json={"items": ITEMS})).json()["id"]
    listed = (await api.client.get(f"/v1/conversations/{id}/items")).json()
    check(listed, path, "get")
    one = await api.client.get(f"/v1/conversations/{id}/items/{listed['data'][0]['id']}")
    check(one.json(), f"{path}/{{item_id}}", "get")
    with pytest.raises(ValidationError):
        check({**one.json(), "type": "message"}, f"{path}/{{item_id}}", "get")


async def test_a_message_of_anthropics_is_as_documented(api: Api) -> None:
    api.service.script = [*SAID[:4], ChoiceEnd(0, "tool_calls", 9)]
    body = {"model": "tiny", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    answer = (await api.client.post("/v1/messages", json=body)).json()
    check(answer, "/v1/messages")
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
    with pytest.raises(ValidationError):
        check({**answer, "content": [{"type": "text"}]}, "/v1/messages")
