"""What is kept of a conversation beside its states."""

from server.chat.told import Told, load_told
from server.chat.tools import custom_tool
from server.chat.types import Message, Tool, ToolCall


def test_what_was_told_is_read_back_with_calls_of_every_kind() -> None:
    calls = (ToolCall("a", "f", "{}"), ToolCall("b", "code", '{"input": "1"}', custom=True))
    messages = (
        Message("user", "Hi"),
        Message("assistant", "", calls),
        Message("tool", "4", tool_call_id="b"),
    )
    told = Told(messages, (Tool("f"), custom_tool("code", "Runs it", None, "tools.1.custom")))
    read = load_told(told.dump())
    assert read.messages == messages
    assert [(tool.name, tool.parameters) for tool in read.tools] == [
        (tool.name, tool.parameters) for tool in told.tools
    ]


def test_calls_of_functions_are_kept_in_the_form_of_earlier_versions() -> None:
    messages = (Message("assistant", "", (ToolCall("a", "f", "{}"),)),)
    assert b"custom" not in Told(messages, (Tool("f"),)).dump()
