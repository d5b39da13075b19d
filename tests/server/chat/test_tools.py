"""Turns with tools: what is read, what comes out, and what the next turn costs."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from server.chat.template import ALPACA, G1, RAVEN, WORLD, HeadedTemplate
from server.chat.tools import toolbox
from server.chat.types import Message, TextDelta, Tool, ToolCall, ToolChoice
from tests.doubles import WritingModel
from tests.server.chat.talking import TOKENIZER, Server, length, serving, user

WEATHER = Tool("weather", "Get it", {"type": "object", "properties": {"city": {"type": "string"}}})
TOOLS = (WEATHER, Tool("time"))
ASKED = user("How is it in Rome?")
CALL = '```json\n{"name": "weather", "arguments": {"city": "Rome"}}\n```'
OTHER = '```json\n{"name": "time", "arguments": {}}\n```'
ROME = '{"city": "Rome"}'
REQUIRED = ToolChoice("required")
LONG: dict[str, Any] = {"max_tokens": 400}


def writing(
    script: str, template: HeadedTemplate = G1, **options: Any
) -> AbstractAsyncContextManager[Server]:
    """A model that writes a script after the header of every answer."""
    model = WritingModel(template.space + script, mark=template.assistant)
    return serving(model=model, template=template, **options)


def result(call: ToolCall, content: str) -> Message:
    return Message("tool", content, tool_call_id=call.id)


def fed(server: Server, *messages: Message, tools: Sequence[Tool] = TOOLS) -> str:
    """What the state that answers these messages has read."""
    kept = server.kept(*messages, toolbox=toolbox(tuple(tools), ToolChoice()))
    assert kept is not None
    return TOKENIZER.decode(kept.fed.to_list())


async def test_a_call_comes_apart_from_the_content() -> None:
    async with writing(f"Let me see.\n{CALL}") as server:
        answer = await server.ask(ASKED, tools=TOOLS, **LONG)
        assert (answer.text, answer.reason) == ("Let me see.", "tool_calls")
        assert [(call.name, call.arguments) for call in answer.calls] == [("weather", ROME)]


async def test_calls_of_one_answer_have_ids_of_their_own() -> None:
    async with writing(f"{CALL}\n{OTHER}\n{CALL}") as server:
        answer = await server.ask(ASKED, tools=TOOLS, **LONG)
        assert [call.name for call in answer.calls] == ["weather", "time", "weather"]
        assert len({call.id for call in answer.calls}) == 3
        assert all(call.id.startswith("call_") for call in answer.calls)
        assert answer.text == ""


async def test_every_choice_has_its_own_calls() -> None:
    async with writing(CALL) as server:
        answer = await server.ask(ASKED, tools=TOOLS, choices=3, **LONG)
        calls = [call for made in answer.made.values() for call in made]
        assert [call.name for call in calls] == ["weather"] * 3
        assert len({call.id for call in calls}) == 3
        assert {end.reason for end in answer.ends.values()} == {"tool_calls"}


async def test_thoughts_come_before_the_call_and_may_hold_one() -> None:
    async with writing(f"<think>I could {OTHER}.</think>\n{CALL}") as server:
        answer = await server.ask(ASKED, tools=TOOLS, thinking="on", **LONG)
        assert answer.thought == f"I could {OTHER}."
        assert [call.name for call in answer.calls] == ["weather"]
        assert answer.end.reasoning_tokens > 0


async def test_without_tools_a_call_is_content() -> None:
    async with writing(CALL) as server:
        answer = await server.ask(ASKED, **LONG)
        assert (answer.text, answer.calls, answer.reason) == (CALL, [], "stop")


async def test_where_nothing_may_be_called_the_model_is_told_of_no_tools() -> None:
    async with writing("Well.") as server:
        answer = await server.ask(ASKED, tools=TOOLS, tool_choice=ToolChoice("none"))
        assert (answer.text, answer.calls, answer.reason) == ("Well.", [], "stop")
        assert (await server.ask(ASKED)).fed == 0


@pytest.mark.parametrize(
    "choice", [ToolChoice("auto", ("time",)), ToolChoice("required", ("time",))]
)
async def test_a_call_that_was_begun_is_of_a_tool_that_may_be_called(choice: ToolChoice) -> None:
    async with writing(CALL) as server:
        answer = await server.ask(ASKED, tools=TOOLS, tool_choice=choice, **LONG)
        assert [(call.name, call.arguments) for call in answer.calls[:1]] == [("time", "{}")]


@pytest.mark.parametrize("choice", [ToolChoice(), REQUIRED])
async def test_one_call_is_the_most_where_they_are_not_parallel(choice: ToolChoice) -> None:
    async with writing(f"{CALL}\n{OTHER}") as server:
        options = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
        answer = await server.ask(ASKED, **options, **LONG)
        assert [call.name for call in answer.calls] == ["weather"]
        assert (answer.text, answer.reason) == ("", "tool_calls")


async def test_all_tools_are_listed_where_some_may_be_called() -> None:
    async with writing("Well.") as server:
        await server.ask(ASKED, tools=TOOLS)
        choice = ToolChoice("auto", ("time",))
        assert (await server.ask(ASKED, tools=TOOLS, tool_choice=choice)).fed == 0


SAME = [
    ROME,
    '{"city":"Rome"}',
    '{\n  "city": "Rome"\n}',
    ' {"city": "\\u0052ome"} ',
]


@pytest.mark.parametrize("arguments", SAME)
@pytest.mark.parametrize("script", [CALL, f"Let me see.\n\n{CALL}\n{OTHER}"])
async def test_a_result_costs_its_own_words_only(script: str, arguments: str) -> None:
    async with writing(script) as server:
        talk = [Message("system", "Be brief."), ASKED]
        first = await server.ask(*talk, tools=TOOLS, **LONG)
        _, *rest = first.calls
        calls = (ToolCall("mine", "weather", arguments), *rest)
        talk.append(Message("assistant", first.text, calls))
        talk += [result(call, '{"temperature": 9}') for call in calls]
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        told = '\n\nUser: Function output:\n{"temperature": 9}'
        assert second.fed == length(told * len(calls), "\n\nAssistant:")
        assert fed(server, *talk) == (
            "System: Be brief.\nTools:\n- weather(city?: string) Get it\n- time()\n"
            "Return only a JSON function call.\n\nUser: How is it in Rome?"
            f"\n\nAssistant: {script}{told * len(calls)}\n\nAssistant:"
        )


async def test_the_state_remembers_a_call_as_the_model_wrote_it() -> None:
    written = '```json\n{\n"name":"weather",\n "arguments" : {"city":"Rome"} }```'
    async with writing(written) as server:
        first = await server.ask(ASKED, tools=TOOLS, **LONG)
        assert first.calls[0].arguments == '{"city":"Rome"}'
        talk = (ASKED, first.message, result(first.calls[0], "9"))
        await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert written in fed(server, *talk)


async def test_other_arguments_are_another_conversation() -> None:
    async with writing(CALL) as server:
        first = await server.ask(ASKED, tools=TOOLS, **LONG)
        call = ToolCall(first.calls[0].id, "weather", '{"city": "Oslo"}')
        talk = (ASKED, Message("assistant", "", (call,)), result(call, "9"))
        await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert 'Rome"' not in fed(server, *talk)
        assert '{"name": "weather", "arguments": {"city": "Oslo"}}' in fed(server, *talk)


@pytest.mark.parametrize("most", [20, 30, 45, 52])
async def test_a_call_that_is_cut_resumes_too(most: int) -> None:
    async with writing(CALL) as server:
        first = await server.ask(ASKED, tools=TOOLS, max_tokens=most)
        assert first.reason == "length"
        talk = (ASKED, first.message, user("Go on"))
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert second.fed == length("\n\nUser: Go on\n\nAssistant:")


async def test_a_required_call_is_begun_for_the_model() -> None:
    async with writing(CALL) as server:
        answer = await server.ask(ASKED, tools=TOOLS, tool_choice=REQUIRED, **LONG)
        assert [call.arguments for call in answer.calls] == [ROME]
        assert answer.end.tokens == length(CALL.removeprefix("```json")) + 1
        talk = (ASKED, answer.message, result(answer.calls[0], "9"))
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert second.fed == length("\n\nUser: Function output:\n9\n\nAssistant:")


async def test_no_thought_is_begun_for_a_required_call_unless_asked_for() -> None:
    for thinking, opening in (
        (None, "\n\nAssistant: ```json"),
        ("none", "\n\nAssistant: ```json"),
        ("on", "\n\nAssistant: <think"),
    ):
        layout = G1.lay_out(b"root", (ASKED,), thinking, toolbox(TOOLS, REQUIRED))
        assert layout.opening.text == opening


@pytest.mark.parametrize("stop", ["Rome", "```", "json", '"', "{", "weather", "\n```", "}}"])
async def test_a_stop_string_is_not_looked_for_in_a_call(stop: str) -> None:
    async with writing(f"{CALL}\n{OTHER}") as server:
        answer = await server.ask(ASKED, tools=TOOLS, stop=(stop,), **LONG)
        assert [call.name for call in answer.calls] == ["weather", "time"]
        assert (answer.text, answer.reason) == ("", "tool_calls")


@pytest.mark.parametrize(
    ("script", "stop", "text", "calls"),
    [
        (f"Wait. {CALL}", "ait", "W", 0),
        (f"{CALL}\nDone. Rome.", "Rome", "\nDone. ", 1),
        ("It is ```json {} ``` Rome", "```", "It is ", 0),
        ("It is ```json {} ``` Rome", "is ```json {}", "It ", 0),
        ("It is ```json {} ``` Rome", "{}", "It is ```json ", 0),
        ("It is ```json {} ``` Rome", "Rome", "It is ```json {} ``` ", 0),
        ("It is ``", "```", "It is ``", 0),
    ],
)
async def test_a_stop_string_ends_what_is_said(
    script: str, stop: str, text: str, calls: int
) -> None:
    async with writing(script) as server:
        answer = await server.ask(ASKED, tools=TOOLS, stop=(stop,), **LONG)
        assert (answer.text, len(answer.calls)) == (text, calls)
        talk = (ASKED, answer.message, user("Go on"))
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert second.fed == length("\n\nUser: Go on\n\nAssistant:")


@pytest.mark.parametrize("script", [f"Só é 🙂.\n{CALL}\n{OTHER}", CALL, f"A {CALL}\nb ", "Yes. "])
async def test_likelihoods_are_those_of_the_content(script: str) -> None:
    async with writing(script) as server:
        turn = await server.start(ASKED, tools=TOOLS, logprobs=0, **LONG)
        text, data = "", b""
        async for event in turn.events():
            if isinstance(event, TextDelta):
                text += event.text
                data += b"".join(token.data for token in event.tokens)
                assert text.encode().startswith(data)
        assert data.decode() == text


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        (WORLD, "System: {tools}\n\nUser: Hi\n\nAssistant:{call}\n\nUser: {out}\n\nAssistant:"),
        (RAVEN, "{tools}\n\nBob: Hi\n\nAlice:{call}\n\nBob: {out}\n\nAlice:"),
        (
            ALPACA,
            "{tools}\n\n# Instruction:\nHi\n\n# Response:\n{call}"
            "\n\n# Instruction:\n{out}\n\n# Response:\n",
        ),
    ],
)
async def test_every_template_has_a_form_for_tools(template: HeadedTemplate, prompt: str) -> None:
    tools = (
        "You can use these tools:\n- weather(city?: string) Get it\n- time()\n"
        "To use one, answer with a call in exactly this form:\n"
        '```json\n{"name": "NAME", "arguments": {"ARGUMENT": "VALUE"}}\n```'
    )
    async with writing(CALL, template) as server:
        first = await server.ask(user("Hi"), tools=TOOLS, **LONG)
        assert [call.name for call in first.calls] == ["weather"]
        talk = (user("Hi"), first.message, result(first.calls[0], "9"))
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert second.turn.cached_tokens == first.turn.prompt_tokens + first.tokens - 1
        out = "Function output:\n9"
        assert fed(server, *talk) == prompt.format(tools=tools, call=template.space + CALL, out=out)


async def test_a_dropped_thought_leaves_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"<think>Hm.</think>\n{CALL}"
    async with writing(script, keep_thinking=False) as server:
        first = await server.ask(ASKED, tools=TOOLS, thinking="on", **LONG)
        talk = (ASKED, first.message, result(first.calls[0], "9"))
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert second.fed == length("\n\nUser: Function output:\n9\n\nAssistant:")
        assert fed(server, *talk).endswith(
            f"\n\nAssistant: {CALL}\n\nUser: Function output:\n9\n\nAssistant:"
        )


async def test_arguments_that_are_no_text_do_no_harm() -> None:
    async with writing("Well.") as server:
        for arguments in ('{"a": "\\ud800"}', "[" * 2_000, '{"a": 1e999}', "NaN", "\\"):
            call = ToolCall("a", "weather", arguments)
            talk = (ASKED, Message("assistant", "", (call,)), result(call, "9"))
            assert (await server.ask(*talk, tools=TOOLS)).text == "Well."
