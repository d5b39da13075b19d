"""Tools as the model is told of them, and the prompts the bundled model was trained on."""

import json
import random
import re
from itertools import count
from typing import Any

import pytest

from models.gosling.dialogues import Dialogue, Split, compose
from models.gosling.dialogues import Message as Trained
from models.gosling.dialogues.arguments import json_type
from models.gosling.dialogues.compose import dialogue
from models.gosling.dialogues.toolbox import Tool as TrainedTool
from models.gosling.dialogues.tools import system_text
from models.gosling.render import segments
from server.chat.template import G1
from server.chat.tools import NO_TOOLS, CallPiece, CallSplitter, toolbox
from server.chat.tools.listing import tool_line
from server.chat.types import Message, Tool, ToolCall, ToolChoice

CALL = '{"name": "f", "arguments": {}}'


def schema(properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer", "minimum": 1}, "integer"),
        ({}, "any"),
        (True, "any"),
        ({"enum": ["c", "f"]}, '"c"|"f"'),
        ({"type": "string", "enum": ["é"]}, '"é"'),
        ({"const": 1}, "1"),
        ({"type": ["string", "null"]}, "string|null"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string|null"),
        ({"oneOf": [{"type": "number"}, {"type": "number"}]}, "number"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"enum": [1, 2]}}, "(1|2)[]"),
        ({"type": "array"}, "any[]"),
        ({"type": "object"}, "object"),
        (schema({"a": {"type": "string"}, "b": {"type": "null"}}, "a"), "{a: string, b?: null}"),
        ({"$ref": "#/$defs/Unit"}, '"c"|"f"'),
        ({"$ref": "#/$defs/Nothing"}, "any"),
        ({"$ref": "other.json"}, "any"),
        ({"type": 5}, "any"),
    ],
)  # fmt: skip
def test_types_are_shown_in_a_few_words(part: Any, shown: str) -> None:
    parameters = schema({"x": part}, "x", **{"$defs": {"Unit": {"enum": ["c", "f"]}}})
    assert tool_line(Tool("f", "", parameters)) == f"- f(x: {shown})"


def test_a_schema_that_contains_itself_is_shown_in_part() -> None:
    parameters = schema({"next": {"$ref": "#"}})
    assert tool_line(Tool("f", "", parameters)).startswith("- f(next?: {next?: {next?: ")


def test_a_tool_is_one_line_with_all_descriptions() -> None:
    properties = {"a": {"type": "string", "description": "What\nit is."}, "b": {"type": "null"}}
    line = tool_line(Tool("f", "Does\n\n  it.", schema(properties)))
    assert line == "- f(a?: string, b?: null) Does it. (a: What it is.)"


def test_a_tool_may_take_nothing() -> None:
    assert tool_line(Tool("f")) == "- f()"
    assert tool_line(Tool("f", "", {})) == "- f()"


def declared(tool: TrainedTool) -> Tool:
    """A tool of the training data as a request declares it."""
    properties = {p.name: {"type": json_type(p.maker)} for p in tool.parameters}
    required = [p.name for p in tool.parameters if p.required]
    return Tool(tool.name, tool.description, schema(properties, *required))


def trained(seed: int) -> tuple[tuple[TrainedTool, ...], Dialogue]:
    """A dialogue of the training mixture with tools, and these, which are drawn first."""
    for number in count():
        name = f"{seed}/{number}"
        where = compose.setting(compose.Draw(random.Random(name), Split.TRAIN))
        if where.tools:
            return where.tools, dialogue(random.Random(name), Split.TRAIN)
    raise AssertionError


def asked(found: Dialogue, listed: str) -> list[Message]:
    """The messages of a dialogue as a client of the API has them."""
    talk: list[Message] = []
    for message in found.messages:
        content = message.content
        if message.role == "system":
            content = content.removesuffix(listed).strip()
            talk += [Message("system", content)] if content else []
        elif content.startswith("```json\n"):
            call = json.loads(content.removeprefix("```json\n").removesuffix("\n```"))
            arguments = json.dumps(call["arguments"], separators=(",", ":"))
            talk.append(Message("assistant", "", (ToolCall("x", call["name"], arguments),)))
        elif content.startswith("Function output:\n"):
            result = content.removeprefix("Function output:\n")
            talk.append(Message("tool", result, tool_call_id="x"))
        else:
            talk.append(Message(message.role, content))
    return talk


@pytest.mark.parametrize("seed", range(40))
def test_the_prompt_is_the_one_the_bundled_model_was_trained_on(seed: int) -> None:
    tools, found = trained(seed)
    # Whole numbers lose their point, as they do in JavaScript.
    wanted = [
        re.sub(r"(\d)\.0(?=[,}])", r"\1", segment.text)
        for segment in segments(Dialogue(found.messages, found.ability))
    ]
    talk = asked(found, system_text(tools))
    layout = G1.lay_out(b"root", talk, toolbox=toolbox(tuple(map(declared, tools)), ToolChoice()))
    assert [segment.text for segment in layout.history] == wanted


def test_a_required_call_begins_as_it_did_in_training() -> None:
    talk = (Trained("user", "Go"), Trained("assistant", f"```json\n{CALL}\n```"))
    *_, header, body = segments(Dialogue(talk, "tools", forced=True))
    required = toolbox((Tool("f"),), ToolChoice("required"))
    layout = G1.lay_out(b"root", (Message("user", "Go"),), toolbox=required)
    assert layout.opening.text == header.text
    assert layout.calls is not None
    assert CallSplitter(layout.calls).push(body.text) == [CallPiece(0, "", "f"), CallPiece(0, "{}")]


def test_no_tools_are_no_message() -> None:
    layout = G1.lay_out(b"root", (Message("user", "Hi"),), toolbox=NO_TOOLS)
    assert [segment.text for segment in layout.segments] == ["User: Hi", "\n\nAssistant:"]
    assert layout.calls is None
