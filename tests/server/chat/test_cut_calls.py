"""Turns that end within the beginning of a call: what is told, what is kept, what goes on."""

import pytest

from server.chat.template import G1, RAVEN, HeadedTemplate
from server.chat.types import Message, TextDelta, ToolChoice
from tests.server.chat.talking import length, user
from tests.server.chat.test_tools import ASKED, CALL, REQUIRED, ROME, TOOLS, fed, writing

WORDS = "Let me see."
GO_ON = user("Go on")
CUTS = [8, 12, 20, 25]  # behind the mark, within the head, the name and the arguments' key


@pytest.mark.parametrize("most", [1, 4, 12, 18])
async def test_nothing_of_a_required_call_that_is_cut_is_told(most: int) -> None:
    async with writing(CALL) as server:
        options = {"tools": TOOLS, "tool_choice": REQUIRED, "max_tokens": most}
        answer = await server.ask(ASKED, **options)
        assert (answer.text, answer.calls, answer.reason) == ("", [], "length")
        assert answer.tokens == most


@pytest.mark.parametrize("most", CUTS)
async def test_words_before_a_call_that_is_cut_are_all_that_is_told(most: int) -> None:
    async with writing(f"{WORDS}\n{CALL}") as server:
        answer = await server.ask(ASKED, tools=TOOLS, max_tokens=length(WORDS) + 1 + most)
        assert (answer.text, answer.calls, answer.reason) == (WORDS, [], "length")


async def test_nothing_of_a_call_behind_a_thought_is_told() -> None:
    async with writing(f"<think>Hm.</think>\n{CALL}") as server:
        options = {"tools": TOOLS, "tool_choice": REQUIRED, "thinking": "on"}
        for most in range(14, 40):
            answer = await server.ask(ASKED, **options, max_tokens=most)
            assert (answer.text, answer.reason) == ("", "length"), most


@pytest.mark.parametrize("choice", [ToolChoice(), REQUIRED], ids=lambda choice: choice.mode)
async def test_a_call_that_a_stop_id_ends_within_its_arguments_is_none_to_be_made(
    choice: ToolChoice,
) -> None:
    async with writing(CALL) as server:
        options = {"tools": TOOLS, "tool_choice": choice, "max_tokens": 400}
        whole = await server.ask(ASKED, **options)
        answer = await server.ask(ASKED, **options, stop_token_ids=(ord("R") + 1,))
        assert ([call.arguments for call in answer.calls], answer.reason) == (
            ['{"city": "'],
            "stop",
        )
        assert ([call.arguments for call in whole.calls], whole.reason) == ([ROME], "tool_calls")


@pytest.mark.parametrize("keep_thinking", [False, True])
@pytest.mark.parametrize("thought", ["", "<think>Hm.</think>"])
async def test_the_state_is_that_of_the_message_as_it_was_told(
    thought: str, keep_thinking: bool
) -> None:
    async with writing(f"{thought}{WORDS}\n{CALL}", keep_thinking=keep_thinking) as server:
        most = length(thought, WORDS) + 21
        first = await server.ask(ASKED, tools=TOOLS, max_tokens=most)
        assert (first.text, first.reason) == (WORDS, "length")
        talk = (ASKED, first.message, GO_ON)
        second = await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert second.fed == length("\n\nUser: Go on\n\nAssistant:")
        assert fed(server, *talk).endswith(
            f"Rome?\n\nAssistant: {WORDS}\n\nUser: Go on\n\nAssistant:"
        )


@pytest.mark.parametrize("template", [G1, RAVEN], ids=lambda template: template.name)
async def test_an_answer_of_nothing_can_be_gone_on_from(template: HeadedTemplate) -> None:
    async with writing(CALL, template) as server:
        options = {"tools": TOOLS, "tool_choice": REQUIRED}
        first = await server.ask(ASKED, **options, max_tokens=9)
        assert first.message == Message("assistant", "")
        talk = (ASKED, first.message, GO_ON)
        second = await server.ask(*talk, **options, max_tokens=400)
        assert [call.name for call in second.calls] == ["weather"]
        assert second.fed < length("Go on", template.user, template.assistant, "```json") + 8
        await server.ask(*talk, tools=TOOLS, max_tokens=1)
        assert "```" not in fed(server, *talk).partition("Rome?")[2]


async def test_words_before_a_call_that_was_cut_are_continued() -> None:
    async with writing(f"{WORDS}\n{CALL}") as server:
        first = await server.ask(ASKED, tools=TOOLS, max_tokens=length(WORDS) + 21)
        options = {"tools": TOOLS, "goes_on": True, "max_tokens": 4}
        second = await server.ask(ASKED, first.message, **options)
        assert second.fed == 0
        async with writing(f"{WORDS}\n{CALL}") as other:
            assert (await other.ask(ASKED, first.message, **options)).text == second.text


async def test_likelihoods_are_those_of_the_words() -> None:
    async with writing(f"{WORDS}\n{CALL}") as server:
        most = length(WORDS) + 21
        turn = await server.start(ASKED, tools=TOOLS, max_tokens=most, logprobs=0)
        told = [event async for event in turn.events() if isinstance(event, TextDelta)]
        assert sum(len(event.tokens) for event in told) == length(WORDS)
