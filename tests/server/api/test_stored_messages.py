"""The messages of stored chat completions, as OpenAI's SDK types them."""

from typing import Any

from openai.types.chat.chat_completion_store_message import ChatCompletionStoreMessage

from tests.server.api.document import check
from tests.server.api.doubles import PATH, Api

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM = {"id": "b", "type": "custom", "custom": {"name": "code", "input": "1"}}
PARTS = [{"type": "text", "text": "Good"}, {"type": "text", "text": "day"}]
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": PARTS, "name": "Ann"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CUSTOM]},
    {"role": "tool", "content": "4", "tool_call_id": "a"},
    {"role": "tool", "content": "5", "tool_call_id": "b"},
    {"role": "assistant", "content": "", "function_call": {"name": "g", "arguments": "{}"}},
    {"role": "function", "content": "6", "name": "g"},
    {"role": "developer", "content": "Go on."},
    {"role": "assistant", "content": None, "refusal": "No."},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No, no."}]},
]


async def stored(api: Api) -> list[dict[str, Any]]:
    id = (await api.chat(messages=MESSAGES, store=True)).json()["id"]
    listed = (await api.client.get(f"{PATH}/{id}/messages")).json()
    check(listed, f"{PATH}/{{completion_id}}/messages", "get")
    found: list[dict[str, Any]] = listed["data"]
    return found


async def test_they_are_what_the_sdk_knows_and_whose_result_a_message_is(api: Api) -> None:
    known = ChatCompletionStoreMessage.model_fields.keys() | {"name", "tool_call_id"}
    for message in await stored(api):
        assert message.keys() <= known
        # The SDK has the role of what a model says, its makers' examples that of a user too.
        ChatCompletionStoreMessage.model_validate({**message, "role": "assistant"}, strict=True)


async def test_they_say_what_was_asked(api: Api) -> None:
    found = await stored(api)
    for given, message in zip(MESSAGES, found, strict=True):
        said = {key: value for key, value in given.items() if key != "content"}
        assert said.items() <= message.items()
        assert message["refusal"] == given.get("refusal")
    assert found[1]["content"] == "Good\nday"
    assert (found[-2]["content"], found[-1]["content"]) == (None, "No, no.")
    refused = [{"type": "text", "text": "No, no."}]  # the only type that such parts have
    assert [one["content_parts"] for one in found] == [None, PARTS, *[None] * 7, refused]
