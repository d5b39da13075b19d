"""Messages that are sent again with every request of a chat."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from server.api.chat.message import ChatMessage, conversation
from server.api.chat.request import ChatCompletionRequest
from server.api.repeated import CHAT_MESSAGES
from server.chat import beginnings
from tests.server.api.doubles import Api

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
    {"role": "assistant", "content": "Hi!"},
]


@pytest.fixture(autouse=True)
def _nothing_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    CHAT_MESSAGES.forget()
    monkeypatch.setattr(beginnings, "_SHORT", 0)


def body(*messages: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({"model": "tiny", "messages": list(messages)})


def test_a_message_that_was_sent_before_is_neither_checked_nor_read_again() -> None:
    first = body(*TALK)
    then = body(*TALK, {"role": "user", "content": "Bye"})
    assert [one is other for one, other in zip(first.messages, then.messages, strict=False)] == [
        True
    ] * len(TALK)
    read = conversation(first.messages), conversation(then.messages)
    assert all(one is other for one, other in zip(*read, strict=False))


async def test_what_another_caller_sent_is_checked_for_itself() -> None:
    api, read = Api(api_keys=["ann", "bob"]), []
    async with api.client:
        for key in ("ann", "bob", "ann"):
            api.client.headers["authorization"] = f"Bearer {key}"
            await api.chat(messages=TALK)
            read.append(api.service.requests[-1].messages[0])
    assert read[0] is not read[1]
    assert read[0] is read[2]


def test_messages_have_no_numbers_which_could_be_equal_without_being_the_same() -> None:
    schema = TypeAdapter(ChatMessage).json_schema()
    parts = [schema, *schema["$defs"].values()]
    assert set().union(*map(leaves, parts)) == {"string", "null"}


def leaves(schema: dict[str, Any]) -> set[str]:
    """What a schema has no parts of, by its type; but for what has no meaning."""
    parts = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    fields = schema.get("properties", {})
    parts += [fields[name] for name in fields if name != "prompt_cache_breakpoint"]
    if "items" in schema:
        parts.append(schema["items"])
    if parts or "$ref" in schema:
        return set().union(*map(leaves, parts))
    if schema.get("enum") == [None]:
        return {"null"}
    return {schema.get("type", "anything")}


@pytest.mark.parametrize("value", [True, 1, 0, False, 1.0])
def test_what_is_no_message_is_none_behind_a_message_that_was_sent(value: Any) -> None:
    body(*TALK)
    for key in ("content", "name", "tool_calls", "audio"):
        with pytest.raises(ValueError, match=rf"messages\.2\.{key}"):
            body(*TALK[:2], {**TALK[2], key: value})


async def test_a_fault_behind_messages_that_were_sent_is_named_by_its_place(api: Api) -> None:
    await api.chat(messages=TALK)
    response = await api.chat(messages=[*TALK, {"role": "user"}])
    assert response.json()["error"]["param"] == "messages.3.content"
    response = await api.chat(messages=[*TALK, {"role": "tool", "content": "3"}])
    assert response.json()["error"]["param"] == "messages.3.tool_call_id"
    response = await api.chat(messages=[*TALK, {"role": "user", "content": 3}])
    assert response.json()["error"]["param"] == "messages.3.content"


async def test_a_result_of_a_call_that_was_sent_before_is_read(api: Api) -> None:
    talk = [*TALK, {"role": "assistant", "tool_calls": [CALL]}]
    await api.chat(messages=talk)
    result = {"role": "tool", "content": "3", "tool_call_id": "a"}
    response = await api.chat(messages=[*talk, result])
    assert response.status_code == 200, response.text
    response = await api.chat(messages=[*TALK, result])
    assert response.json()["error"]["param"] == "messages.3.tool_call_id"
