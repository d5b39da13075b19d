"""Jinja templates with tools: their own forms found and read, others put in words."""

import json
from typing import Any

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from server.chat.template.jinja import JinjaTemplate
from server.chat.tools import CallForm, toolbox
from server.chat.types import Message, Tool, ToolCall, ToolChoice
from tests.doubles import WritingModel
from tests.server.chat.talking import length, serving, user

# Calls in tags, arguments as an object.
TAGS = """
{%- if tools %}
<|system:
{%- if messages[0].role == 'system' %}{{ messages[0].content }}
{% endif %}
# Tools
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}|>
{% elif messages[0].role == 'system' %}<|system:{{ messages[0].content }}|>
{% endif %}
{%- for m in messages %}
{%- if m.role == 'tool' %}<|tool {{ m.name }}:{{ m.content }}|>
{% elif m.role == 'assistant' %}<|assistant:{{ m.content }}
{%- for call in m.tool_calls or [] %}
{{- '\\n' if m.content or not loop.first }}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}|>
{% elif m.role == 'user' %}<|user:{{ m.content }}|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant:{% endif %}"""
# Arguments as text.
TEXT = TAGS.replace("call.function.arguments | tojson", "call.function.arguments")
# Calls in words that are not JSON, or without anything around them.
OTHER = TAGS.replace(
    '{"name": "{{ call.function.name }}", "arguments": ', "CALL {{ call.function.name }} "
)
BARE = TAGS.replace("<tool_call>\n", "").replace("\n</tool_call>", "")
THINKING = TAGS.replace(
    "<|assistant:{{ m.content }}", "<|assistant:<think>\n\n</think>\n\n{{ m.content }}"
)
# Nothing of tools.
PLAIN = """{% for m in messages %}<|{{ m.role }}:{{ m.content }}|>
{% endfor %}{% if add_generation_prompt %}<|assistant:{% endif %}"""

WEATHER = Tool(
    "weather",
    "Get <it>",
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)
TOOLS = (WEATHER, Tool("time"))
CALLS = (ToolCall("a", "weather", '{"city":"Tromsø"}'), ToolCall("b", "time", ""))
TALK = (
    Message("system", "Be brief."),
    user("How is it?"),
    Message("assistant", "Let me see.", CALLS),
    Message("tool", "9", tool_call_id="a"),
    Message("tool", "noon", tool_call_id="b"),
)
LONG: dict[str, Any] = {"max_tokens": 400}


def template(source: str) -> JinjaTemplate:
    return JinjaTemplate("test.jinja", source)


def rendered(source: str, *messages: Message, tools: tuple[Tool, ...] = TOOLS) -> str:
    offered = toolbox(tools, ToolChoice())
    return "".join(
        segment.text
        for segment in template(source).lay_out(b"root", messages, toolbox=offered).segments
    )


def wire(as_text: bool) -> list[dict[str, Any]]:
    """The conversation as transformers documents it."""

    def arguments(text: str) -> Any:
        value = json.loads(text or "{}")
        return json.dumps(value, ensure_ascii=False) if as_text else value

    calls = [
        {"type": "function", "function": {"name": c.name, "arguments": arguments(c.arguments)}}
        for c in CALLS
    ]
    return [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": "Let me see.", "tool_calls": calls},
        {"role": "tool", "name": "weather", "content": "9"},
        {"role": "tool", "name": "time", "content": "noon"},
    ]


@pytest.mark.parametrize(("source", "as_text"), [(TAGS, False), (TEXT, True)])
def test_a_template_gets_what_transformers_gives_it(source: str, as_text: bool) -> None:
    tools = [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in TOOLS
    ]
    (text,), _ = render_jinja_template(
        [wire(as_text)], tools=tools, chat_template=source, add_generation_prompt=True
    )
    assert rendered(source, *TALK) == text


@pytest.mark.parametrize("source", [TAGS, TEXT, THINKING])
def test_the_form_of_calls_is_found(source: str) -> None:
    layout = template(source).lay_out(b"root", TALK, toolbox=toolbox(TOOLS, ToolChoice()))
    assert layout.calls is not None
    assert layout.calls.form == CallForm("<tool_call>\n", "\n</tool_call>")


@pytest.mark.parametrize("source", [OTHER, BARE, PLAIN])
def test_another_form_is_put_in_words(source: str) -> None:
    text = rendered(source, *TALK)
    assert "You can use these tools:\n- weather(city: string) Get <it>\n- time()\n" in text
    assert (
        '<|assistant:Let me see.\n```json\n{"name": "weather", "arguments": {"city": "Tromsø"}}\n'
        '```\n```json\n{"name": "time", "arguments": {}}\n```|>\n'
        "<|user:Function output:\n9|>\n<|user:Function output:\nnoon|>\n<|assistant:"
    ) in text


@pytest.mark.parametrize(
    ("source", "call"),
    [
        (TAGS, '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'),
        (TEXT, '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'),
        (PLAIN, '```json\n{"name": "weather", "arguments": {"city": "Rome"}}\n```'),
        (BARE, '```json\n{"name": "weather", "arguments": {"city": "Rome"}}\n```'),
    ],
)
@pytest.mark.parametrize("prose", ["", "Let me see.\n"])
async def test_a_result_costs_its_own_words_only(source: str, call: str, prose: str) -> None:
    model = WritingModel(f"{prose}{call}\n{call}|>", mark="<|assistant:")
    async with serving(model=model, template=template(source)) as server:
        talk = [Message("system", "Be brief."), user("Go")]
        first = await server.ask(*talk, tools=TOOLS, **LONG)
        assert first.text == prose.strip()
        assert [call.arguments for call in first.calls] == ['{"city": "Rome"}'] * 2
        calls = tuple(ToolCall(f"new{i}", "weather", '{"city":"Rome"}') for i in range(2))
        talk.append(Message("assistant", first.text, calls))
        talk += [Message("tool", "9", tool_call_id=call.id) for call in calls]
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        own = "<|tool weather:9|>\n" if "tool_call" in call else "<|user:Function output:\n9|>\n"
        assert second.fed == length(f"|>\n{own * 2}<|assistant:")


async def test_a_required_call_is_begun_for_the_model() -> None:
    call = '<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
    model = WritingModel(call, mark="<|assistant:")
    async with serving(model=model, template=template(TAGS)) as server:
        choice = ToolChoice("required")
        answer = await server.ask(user("Go"), tools=TOOLS, tool_choice=choice, **LONG)
        assert [call.name for call in answer.calls] == ["time"]
        assert answer.tokens <= length(call.removeprefix("<tool_call>")) + 1


async def test_a_call_in_tags_is_held_to_its_form_however_it_is_written() -> None:
    script = '<tool_call>{\n  "name" : "gone", "arguments": 5}'
    model = WritingModel(script, mark="<|assistant:")
    async with serving(model=model, template=template(TAGS)) as server:
        answer = await server.ask(user("Go"), tools=TOOLS[1:], **LONG)
        assert [(call.name, call.arguments) for call in answer.calls] == [("time", "{}")]


def test_arguments_that_are_no_json_are_given_as_text() -> None:
    talk = (user("Go"), Message("assistant", "", (ToolCall("a", "weather", '{"ci'),)))
    assert '"arguments": "{\\"ci"' in rendered(TAGS, *talk)
    assert '"arguments": {"ci' in rendered(TEXT, *talk)


def test_an_inserted_message_shifts_no_number() -> None:
    talk = (user("a"), Message("assistant", "b"), user("c"))
    layout = template(PLAIN).lay_out(b"root", talk, toolbox=toolbox(TOOLS, ToolChoice()))
    assert [segment.message for segment in layout.segments] == [0, 1, 1, 2]
