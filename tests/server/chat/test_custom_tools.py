"""Calls of custom tools by a model that knows nothing: any text, or one of a grammar."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from server.chat.template import ALPACA, G1, HeadedTemplate
from server.chat.tools import custom_tool, input_arguments
from server.chat.types import Constraint, Message, Tool, ToolCall, ToolCallDelta, ToolChoice
from server.errors import InvalidRequest
from tests.doubles import WritingModel
from tests.server.chat.talking import serving
from tests.server.chat.test_tool_grammar import ASKED, LONG, IgnorantModel, ask, seeded

REQUIRED = ToolChoice("required")
PARAM = "tools.0.custom.format.grammar.definition"
SUM = """
start: expr
expr: NUMBER | "(" expr OP expr ")"
OP: /["+\\\\\\n]/
NUMBER: /[0-9]{1,2}/
"""
ASSIGNED = r"[a-c]+ = \"[^\"x]{0,3}\"\n"


def tool(form: Constraint | None = None, name: str = "code") -> Tool:
    return custom_tool(name, "Runs it", form, "tools.0.custom")


def sums(text: str) -> bool:
    """Is it one of SUM?"""
    shorter = re.sub(r'\((?:N|[0-9]{1,2})["+\\\n](?:N|[0-9]{1,2})\)', "N", text)
    return sums(shorter) if shorter != text else bool(re.fullmatch("N|[0-9]{1,2}", text))


@pytest.mark.parametrize("template", [G1, ALPACA])
async def test_any_text_can_be_called_with(template: HeadedTemplate) -> None:
    async with serving(model=IgnorantModel(), template=template) as server:
        options = {"tools": (tool(),), "tool_choice": REQUIRED, "max_tokens": 90}
        answer = await server.ask(ASKED, sampling=seeded(1), **options)
    assert {call.name for call in answer.calls} == {"code"}
    assert answer.text == ""


@pytest.mark.parametrize(
    ("form", "fits"),
    [
        (Constraint("regex", ASSIGNED, PARAM), lambda text: re.fullmatch(ASSIGNED, text)),
        (Constraint("lark", SUM, PARAM), sums),
    ],
)
async def test_a_text_is_of_its_grammar(form: Constraint, fits: Callable[[str], object]) -> None:
    async with serving(model=IgnorantModel()) as server:
        texts = set()
        for seed in range(8):
            options = {"tool_choice": REQUIRED, "parallel_tool_calls": False}
            answer = await ask(server, ASKED, seed=seed, tools=(tool(form),), **options)
            if answer.reason == "tool_calls":
                (call,) = answer.calls
                assert fits(call.arguments), call.arguments
                texts.add(call.arguments)
        assert len(texts) > 2


async def test_a_text_is_delivered_as_it_is_written() -> None:
    code = 'print("hi")\n```\n}\\'
    script = f' ```json\n{{"name": "code", "arguments": {input_arguments(code)}}}\n```'
    async with serving(model=WritingModel(script, mark="Assistant:")) as server:
        turn = await server.start(ASKED, tools=(tool(),), **LONG)
        events = [event async for event in turn.events()]
    deltas = [event for event in events if isinstance(event, ToolCallDelta)]
    assert all(event.custom for event in deltas)
    assert len(deltas) > 2
    assert "".join(event.arguments for event in deltas) == code


async def test_a_call_resumes_however_it_is_sent_back() -> None:
    script = f' ```json\n{{"name": "code", "arguments": {input_arguments("1")}}}\n```'
    async with serving(model=WritingModel(script, mark="Assistant:")) as server:
        first = await server.ask(ASKED, tools=(tool(),), **LONG)
        (call,) = first.calls
        said = ToolCall("mine", "code", json.dumps({"input": call.arguments}), custom=True)
        told = Message("tool", "4", tool_call_id="mine")
        messages = (ASKED, Message("assistant", "", (said,)), told)
        second = await server.start(*messages, tools=(tool(),), max_tokens=1)
        assert second.cached_tokens >= first.turn.prompt_tokens
        second.cancel()


async def test_beside_functions_each_is_called_in_its_own_way() -> None:
    function = Tool("stop")
    async with serving(model=IgnorantModel()) as server:
        seen = set()
        for seed in range(6):
            tools = (tool(Constraint("regex", "a", PARAM)), function)
            answer = await ask(server, ASKED, seed=seed, tools=tools, tool_choice=REQUIRED)
            seen |= {(call.name, call.arguments) for call in answer.calls}
        assert seen == {("code", "a"), ("stop", "{}")}


@pytest.mark.parametrize(
    "form",
    [
        Constraint("regex", "(?=a)b", PARAM),
        Constraint("lark", "start: other", PARAM),
        Constraint("lark", 'start: %json {"type": "string"}', PARAM),
        Constraint("lark", "start: A & B\nA: /a/\nB: /b/", PARAM),
        Constraint("lark", "start[temperature=0.5]: /a/", PARAM),
        Constraint("lark", "start: (", PARAM),
    ],
)
async def test_a_grammar_that_cannot_be_enforced_is_refused_by_name(form: Constraint) -> None:
    async with serving() as server:
        with pytest.raises(InvalidRequest) as refused:
            await server.ask(ASKED, tools=(tool(form), replace(tool(), name="b")))
    assert (refused.value.code, refused.value.param) == ("unsupported_parameter", PARAM)
