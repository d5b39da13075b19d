"""Calls in the messages of a session, in the form that chats have for them."""

from openai.types.chat import ChatCompletionMessage

from server.api.sessions.wire import own_messages
from server.chat.told import Told
from server.chat.tools import input_arguments
from server.chat.types import Message, ToolCall


def test_a_custom_call_is_told_with_its_text() -> None:
    calls = (
        ToolCall("a", "f", "{}"),
        ToolCall("b", "code", input_arguments("1 + 1"), custom=True),
    )
    told = Told((Message("user", "Hi"), Message("assistant", "", calls)))
    (message,) = own_messages(told, 1)
    parsed = ChatCompletionMessage.model_validate(message.model_dump(), strict=True)
    assert parsed.tool_calls is not None
    function, custom = (call.to_dict() for call in parsed.tool_calls)
    assert function == {
        "id": "a",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
    }
    assert custom == {"id": "b", "type": "custom", "custom": {"name": "code", "input": "1 + 1"}}
