"""Tools on the wire: what a request becomes, and how calls go out, whole and in chunks."""

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from server.chat.tools import custom_tool
from server.chat.types import (
    ChoiceEnd,
    Constraint,
    Message,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    TurnRequest,
)
from tests.server.api.bad_tools import (
    call,
    called,
    custom,
    function,
    grammar,
    result,
    talk,
    tools,
)
from tests.server.api.doubles import Api, Step
from tests.server.chat.talking import TOKENIZER

PARAMETERS = {"type": "object", "properties": {"a": {"type": "integer"}}}
FULL = function("f", description="Does it", parameters=PARAMETERS, strict=True)


def calling(choice: int = 0) -> list[Step]:
    """Two calls after a few words, the first in pieces."""
    return [
        TextDelta(choice, "Wait."),
        ToolCallDelta(choice, 0, "", "call_a", "f"),
        ToolCallDelta(choice, 0, '{"a"'),
        ToolCallDelta(choice, 0, ": 1}"),
        ToolCallDelta(choice, 1, "", "call_b", "g"),
        ToolCallDelta(choice, 1, "{}"),
        ChoiceEnd(choice, "tool_calls", 9),
    ]


async def asked(api: Api, **fields: Any) -> TurnRequest:
    response = await api.chat(**fields)
    assert response.status_code == 200, response.text
    return api.service.requests[-1]


async def message(api: Api, **fields: Any) -> dict[str, Any]:
    response = await api.chat(**fields)
    ChatCompletion.model_validate(response.json(), strict=True)
    found: dict[str, Any] = response.json()["choices"][0]
    return found


async def deltas(api: Api, **fields: Any) -> list[tuple[dict[str, Any], str | None]]:
    response = await api.chat(stream=True, **fields)
    *parts, done, _ = response.text.split("\n\n")
    assert done == "data: [DONE]"
    chunks = [json.loads(part.removeprefix("data: ")) for part in parts]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return [(choice["delta"], choice["finish_reason"]) for choice in choices]


async def test_tools_are_what_the_service_is_asked(api: Api) -> None:
    request = await asked(api, **tools(FULL, function("g-2")))
    place = "tools.{}.function.parameters"
    assert request.tools == (
        Tool("f", "Does it", PARAMETERS, strict=True, param=place.format(0)),
        Tool("g-2", param=place.format(1)),
    )
    assert request.tool_choice == ToolChoice()
    assert request.parallel_tool_calls


ALLOWED = {
    "type": "allowed_tools",
    "allowed_tools": {"mode": "required", "tools": [function("g"), function("g")]},
}


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (None, ToolChoice("auto")),
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        (function("g"), ToolChoice("required", ("g",))),
        (ALLOWED, ToolChoice("required", ("g",))),
    ],
)
async def test_every_choice_is_known(api: Api, choice: Any, wanted: ToolChoice) -> None:
    request = await asked(api, **tools(function("f"), function("g"), tool_choice=choice))
    assert request.tool_choice == wanted


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": None, "tool_choice": "auto"},
        {"tool_choice": "none", "parallel_tool_calls": True},
        {"function_call": "auto"},
    ],
)
async def test_no_tools_are_no_tools(api: Api, fields: dict[str, Any]) -> None:
    assert (await asked(api, **fields)).tools == ()


async def test_one_call_at_most_can_be_asked_for(api: Api) -> None:
    assert not (await asked(api, parallel_tool_calls=False, **tools(FULL))).parallel_tool_calls


async def test_calls_and_results_are_part_of_the_conversation(api: Api) -> None:
    request = await asked(
        api,
        **talk(
            called(call("a", "f", '{"a":1}'), call("b", "g"), content="Wait."),
            result("b", content=[{"type": "text", "text": "x"}, {"type": "text", "text": "y"}]),
            result("a"),
            called(call("a", "g")),
            result("a"),
        ),
    )
    assert request.messages[1:] == (
        Message("assistant", "Wait.", (ToolCall("a", "f", '{"a":1}'), ToolCall("b", "g", "{}"))),
        Message("tool", "x\ny", tool_call_id="b"),
        Message("tool", "4", tool_call_id="a"),
        Message("assistant", "", (ToolCall("a", "g", "{}"),)),
        Message("tool", "4", tool_call_id="a"),
    )


async def test_an_answer_can_be_sent_back_as_it_came(api: Api) -> None:
    api.service.script = [ReasoningDelta(0, "Hm."), *calling()]
    came = (await message(api, **tools(FULL)))["message"]
    request = await asked(api, **talk(came, result("call_a")))
    calls = (ToolCall("call_a", "f", '{"a": 1}'), ToolCall("call_b", "g", "{}"))
    assert request.messages[1] == Message("assistant", "Wait.", calls)


async def test_calls_are_part_of_the_message(api: Api) -> None:
    api.service.script = calling()
    found = await message(api, **tools(FULL))
    assert found["finish_reason"] == "tool_calls"
    assert found["message"] == {
        "role": "assistant",
        "content": "Wait.",
        "refusal": None,
        "annotations": [],
        "tool_calls": [
            {
                "id": "call_a",
                "type": "function",
                "function": {"name": "f", "arguments": '{"a": 1}'},
            },
            {"id": "call_b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


async def test_a_message_that_only_calls_has_null_for_its_content(api: Api) -> None:
    api.service.script = calling()[1:]
    assert (await message(api, **tools(FULL)))["message"]["content"] is None
    api.service.script = [ChoiceEnd(0, "stop", 1)]
    found = (await message(api, **tools(FULL)))["message"]
    assert found["content"] == ""
    assert "tool_calls" not in found


async def test_a_named_call_ends_like_any_other(api: Api) -> None:
    api.service.script = calling()
    fields = tools(FULL, tool_choice=function("f"))
    assert (await message(api, **fields))["finish_reason"] == "tool_calls"


async def test_a_call_that_was_cut_ends_in_length(api: Api) -> None:
    api.service.script = [*calling()[:3], ChoiceEnd(0, "length", 5)]
    found = await message(api, **tools(FULL))
    assert found["finish_reason"] == "length"
    assert found["message"]["tool_calls"][0]["function"]["arguments"] == '{"a"'


async def test_a_stream_names_a_call_once_and_counts_it_always(api: Api) -> None:
    api.service.script = calling()
    first = {"id": "call_a", "type": "function"}
    second = {"id": "call_b", "type": "function"}
    assert await deltas(api, **tools(FULL)) == [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": "Wait."}, None),
        ({"tool_calls": [{"index": 0, **first, "function": {"name": "f", "arguments": ""}}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]}, None),
        ({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}, None),
        (
            {"tool_calls": [{"index": 1, **second, "function": {"name": "g", "arguments": ""}}]},
            None,
        ),
        ({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}, None),
        ({}, "tool_calls"),
    ]


async def test_choices_have_calls_of_their_own(api: Api) -> None:
    api.service.script = [*calling(), *calling(1)]
    response = await api.chat(n=2, **tools(FULL))
    choices = response.json()["choices"]
    assert [len(choice["message"]["tool_calls"]) for choice in choices] == [2, 2]
    assert response.json()["usage"]["completion_tokens"] == 18


CODE = custom("code", description="Runs it", format={"type": "text"})
FORM = Constraint("regex", "a+", "tools.1.custom.format.grammar.definition")


async def test_custom_tools_are_what_the_service_is_asked(api: Api) -> None:
    given = tools(CODE, custom("f", format=grammar("a+", "regex")), tool_choice=custom("code"))
    request = await asked(api, **given)
    assert request.tools == (
        custom_tool("code", "Runs it", None, "tools.0.custom"),
        custom_tool("f", "", FORM, "tools.1.custom"),
    )
    assert request.tool_choice == ToolChoice("required", ("code",))
    allowed = {"mode": "auto", "tools": [custom("f"), function("g")]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    request = await asked(api, **tools(custom("f"), function("g"), CODE, tool_choice=choice))
    assert request.tool_choice == ToolChoice("auto", ("f", "g"))


async def test_custom_calls_go_out_and_come_back(api: Api) -> None:
    api.service.script = [
        ToolCallDelta(0, 0, "", "call_a", "code", custom=True),
        ToolCallDelta(0, 0, 'print("', custom=True),
        ToolCallDelta(0, 0, 'é")\n', custom=True),
        ChoiceEnd(0, "tool_calls", 5),
    ]
    found = await message(api, **tools(CODE))
    written = {"name": "code", "input": 'print("é")\n'}
    assert found["finish_reason"] == "tool_calls"
    assert found["message"]["tool_calls"] == [{"id": "call_a", "type": "custom", "custom": written}]
    request = await asked(api, **talk(found["message"], result("call_a")), **tools(CODE))
    arguments = json.dumps({"input": written["input"]}, ensure_ascii=False)
    call = ToolCall("call_a", "code", arguments, custom=True)
    assert request.messages[1] == Message("assistant", "", (call,))


async def test_a_stream_of_a_custom_call_has_its_input_in_pieces(api: Api) -> None:
    api.service.script = [
        ToolCallDelta(0, 0, "", "call_a", "code", custom=True),
        ToolCallDelta(0, 0, "1 + 1", custom=True),
        ChoiceEnd(0, "tool_calls", 5),
    ]
    response = await api.chat(stream=True, **tools(CODE))
    chunks = [json.loads(part[6:]) for part in response.text.split("\n\n")[1:3]]
    assert [chunk["choices"][0]["delta"]["tool_calls"] for chunk in chunks] == [
        [{"index": 0, "id": "call_a", "type": "custom", "custom": {"name": "code", "input": ""}}],
        [{"index": 0, "custom": {"input": "1 + 1"}}],
    ]


LEGACY = {"functions": [{"name": "f", "description": "Does it", "parameters": PARAMETERS}]}


async def test_functions_are_tools_of_which_one_is_called(api: Api) -> None:
    request = await asked(api, function_call={"name": "f"}, **LEGACY)
    assert request.tools == (Tool("f", "Does it", PARAMETERS, param="functions.0.parameters"),)
    assert request.tool_choice == ToolChoice("required", ("f",))
    assert not request.parallel_tool_calls
    assert (await asked(api, function_call="none", **LEGACY)).tool_choice == ToolChoice("none")


async def test_a_function_is_called_in_the_older_form(api: Api) -> None:
    api.service.script = [*calling()[1:4], ChoiceEnd(0, "tool_calls", 5)]
    found = await message(api, **LEGACY)
    assert found["finish_reason"] == "function_call"
    assert found["message"]["function_call"] == {"name": "f", "arguments": '{"a": 1}'}
    assert found["message"]["content"] is None
    assert "tool_calls" not in found["message"]
    assert await deltas(api, **LEGACY) == [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"function_call": {"name": "f", "arguments": ""}}, None),
        ({"function_call": {"arguments": '{"a"'}}, None),
        ({"function_call": {"arguments": ": 1}"}}, None),
        ({}, "function_call"),
    ]


async def test_a_functions_result_belongs_to_its_latest_call(api: Api) -> None:
    made = {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "f", "arguments": "{}"},
    }
    answered = {"role": "function", "name": "f", "content": "4"}
    request = await asked(api, **talk(made, answered, made, answered))
    ids = [one.tool_call_id for one in request.messages if one.role == "tool"]
    made_ids = [one.tool_calls[0].id for one in request.messages if one.tool_calls]
    assert ids == made_ids
    assert len(set(ids)) == 2


async def test_the_listed_tools_are_tokenised(api: Api) -> None:

    api.service.model = replace(api.service.model, tokenizer=TOKENIZER)
    body = {"messages": [{"role": "user", "content": "Hi"}], **tools(FULL)}
    ids = (await api.client.post("/tokenize", json=body)).json()["tokens"]
    assert TOKENIZER.decode(ids) == (
        "System: Tools:\n- f(a?: integer) Does it\nReturn only a JSON function call."
        "\n\nUser: Hi\n\nAssistant:"
    )
    required = {**body, "tool_choice": "required"}
    more = (await api.client.post("/tokenize", json=required)).json()["tokens"]
    assert TOKENIZER.decode(more[len(ids) :]) == " ```json"
