"""Calls of functions and of custom tools in responses."""

import json
import re
from typing import Any

from openai import OpenAI

from tests.server.api.responses.asking import TOOL, ask, cached, total


def test_a_required_call_is_a_function_call(client: OpenAI) -> None:
    response = ask(client, tools=[TOOL], tool_choice="required", max_output_tokens=100)
    call = response.output[0]
    assert (call.type, call.name) == ("function_call", "f")
    assert call.id != call.call_id
    assert call.id.startswith("fc_")
    assert call.call_id.startswith("call_")


LINES: Any = {
    "type": "custom",
    "name": "lines",
    "format": {"type": "grammar", "syntax": "regex", "definition": '([ab]"\n){1,3}'},
}


def test_a_custom_call_has_its_text_and_goes_on(client: OpenAI) -> None:
    fields: Any = {"tools": [LINES], "max_output_tokens": 200, "parallel_tool_calls": False}
    chosen = {"type": "custom", "name": "lines"}
    first = ask(client, tool_choice=chosen, **fields)
    assert first.status == "completed", first.output
    (call,) = first.output
    assert (call.type, call.name) == ("custom_tool_call", "lines")
    assert re.fullmatch('([ab]"\n){1,3}', call.input)
    assert first.tool_choice.to_dict() == chosen
    assert first.tools[0].to_dict() == LINES
    output = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "4"}
    by_id = ask(client, [output], previous_response_id=first.id, **fields)
    whole = [{"role": "user", "content": "Hello"}, call.to_dict(), output]
    by_items = ask(client, whole, **fields)
    assert total(by_id) == total(by_items)
    assert cached(by_id) > first.usage.input_tokens
    assert cached(by_items) > first.usage.input_tokens


def test_a_custom_call_is_streamed(client: OpenAI) -> None:
    options: Any = {"tools": [LINES], "tool_choice": "required", "max_output_tokens": 200}
    with client.responses.stream(model="tiny", input="Hello", **options) as stream:
        events = list(stream)
    deltas = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    done = [e.input for e in events if e.type == "response.custom_tool_call_input.done"]
    assert "".join(deltas) == "".join(done)
    assert done


def test_a_result_goes_on_from_the_call(client: OpenAI) -> None:
    fields: Any = {"tools": [TOOL], "max_output_tokens": 100}
    first = ask(client, tool_choice="required", **fields)
    assert first.status == "completed", first.output
    assert json.loads(first.output[0].arguments).keys() == {"a"}
    result = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "7"}
    second = ask(client, [result], previous_response_id=first.id, **fields)
    assert cached(second) > first.usage.input_tokens


def test_a_call_sent_back_with_its_result_costs_no_more(client: OpenAI) -> None:
    fields: Any = {"tools": [TOOL], "max_output_tokens": 100}
    first = ask(client, tool_choice="required", **fields)
    call = first.output[0]
    said: Any = [
        {"role": "user", "content": "Hello"},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "8"},
    ]
    assert cached(ask(client, said, **fields)) > first.usage.input_tokens
