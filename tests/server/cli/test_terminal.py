"""What a person types, and what is shown and remembered."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from io import StringIO

from rich.console import Console

from server.chat.types import Message
from server.cli.conversation import ChatError, Conversation
from server.cli.terminal import Terminal


class Echo:
    """Answers with the last message and how many there were; "stop" is interrupted half-way."""

    name = "echo"

    async def reply(self, messages: list[Message]) -> AsyncGenerator[str]:
        text = messages[-1].content
        if text == "fail":
            raise ChatError("it failed")
        yield f"{len(messages)}:"
        if text == "stop":
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(5)
        yield f"{text}\n"


def talk(*lines: str, system: str | None = None) -> tuple[str, Conversation]:
    """What is shown for the lines a person types, and the conversation after them."""
    remaining = iter(lines)
    conversation = Conversation(system)
    output = StringIO()

    def read(prompt: str) -> str:
        output.write(prompt)
        line = next(remaining, None)
        if line is None:
            raise EOFError
        return line

    with asyncio.Runner() as runner:
        Terminal(Echo(), conversation, Console(file=output), read).run(runner)
    return output.getvalue(), conversation


def contents(conversation: Conversation) -> list[str]:
    return [message.content for message in conversation.messages]


def test_answers_are_shown_and_remembered() -> None:
    output, conversation = talk("one", "two")
    assert "1:one" in output
    assert "3:two" in output
    assert contents(conversation) == ["one", "1:one\n", "two", "3:two\n"]


def test_the_system_message_stands_first_and_survives_a_reset() -> None:
    _, conversation = talk("one", "/reset", "two", system="Be kind.")
    assert contents(conversation) == ["Be kind.", "two", "2:two\n"]


def test_regenerate_answers_the_same_question_again() -> None:
    output, conversation = talk("one", "/regenerate")
    assert output.count("1:one") == 2
    assert contents(conversation) == ["one", "1:one\n"]


def test_there_is_nothing_to_regenerate_at_the_start() -> None:
    output, conversation = talk("/regenerate")
    assert "nothing" in output
    assert contents(conversation) == []


def test_ctrl_c_stops_the_answer_and_keeps_what_there_is() -> None:
    output, conversation = talk("stop", "one")
    assert "(stopped)" in output
    assert contents(conversation) == ["stop", "1:", "one", "3:one\n"]


def test_a_question_without_an_answer_is_forgotten() -> None:
    output, conversation = talk("fail", "one")
    assert "it failed" in output
    assert contents(conversation) == ["one", "1:one\n"]


def test_quit_leaves_and_other_commands_explain() -> None:
    output, conversation = talk("/what", "/quit", "one")
    assert output.count("/regenerate") == 2
    assert contents(conversation) == []


def test_markup_in_an_answer_is_only_text() -> None:
    output, _ = talk("[bold]x[/bold]")
    assert "[bold]x[/bold]" in output
