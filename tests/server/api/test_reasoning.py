"""Thinking on the wire: how it is asked for, and how it comes back."""

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from server.chat.template import WORLD
from server.chat.types import ChoiceEnd, Message, ReasoningDelta, TextDelta
from tests.server.api.doubles import Api, assert_error

THOUGHTFUL = [
    ReasoningDelta(0, "Hm, "),
    ReasoningDelta(0, "hm."),
    TextDelta(0, "Hi"),
    TextDelta(0, "!"),
    ChoiceEnd(0, "stop", 9, 6),
]


def template_kwargs(value: bool | None) -> dict[str, Any]:
    return {"chat_template_kwargs": {"enable_thinking": value}}


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({}, None),
        ({"reasoning_effort": None, "chat_template_kwargs": {}}, None),
        (template_kwargs(None), None),
        ({"reasoning_effort": "none"}, "none"),
        ({"reasoning_effort": "minimal"}, "none"),
        (template_kwargs(False), "none"),
        (template_kwargs(True), "on"),
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "medium"}, "medium"),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": "xhigh"}, "high"),
        ({"reasoning_effort": "max"}, "high"),
        ({"reasoning_effort": "low", **template_kwargs(True)}, "low"),
        ({"reasoning_effort": "minimal", **template_kwargs(False)}, "none"),
    ],
)
async def test_thinking_is_asked_for_in_two_ways(
    api: Api, fields: dict[str, Any], thinking: str | None
) -> None:
    assert (await api.chat(**fields)).status_code == 200
    assert api.service.requests[-1].thinking == thinking


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        (template_kwargs(True), "chat_template_kwargs.enable_thinking"),
        ({"reasoning_effort": "high", **template_kwargs(True)}, "reasoning_effort"),
    ],
)
async def test_a_template_without_thinking_refuses_it_by_name(
    api: Api, fields: dict[str, Any], param: str
) -> None:
    api.service.model = replace(api.service.model, template=WORLD)
    error = assert_error(await api.chat(**fields), 400)
    assert (error["param"], error["code"]) == (param, "unsupported_parameter")
    assert api.service.requests == []


@pytest.mark.parametrize(
    "fields",
    [{"reasoning_effort": "none"}, {"reasoning_effort": "minimal"}, template_kwargs(False)],
)
async def test_a_template_without_thinking_takes_the_wish_for_none(
    api: Api, fields: dict[str, Any]
) -> None:
    api.service.model = replace(api.service.model, template=WORLD)
    assert (await api.chat(**fields)).status_code == 200
    assert api.service.requests[-1].thinking is None


async def test_thoughts_are_a_part_of_the_message(api: Api) -> None:
    api.service.script = list(THOUGHTFUL)
    parsed = ChatCompletion.model_validate((await api.chat()).json(), strict=True)
    message = parsed.choices[0].message
    assert message.content == "Hi!"
    assert message.model_extra == {"reasoning_content": "Hm, hm."}


async def test_reasoning_tokens_of_all_choices_are_counted(api: Api) -> None:
    api.service.script = [*THOUGHTFUL, TextDelta(1, "Yo"), ChoiceEnd(1, "stop", 4, 2)]
    usage = (await api.chat(n=2)).json()["usage"]
    assert usage["completion_tokens"] == 13
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 8


async def test_only_a_choice_with_thoughts_has_the_key(api: Api) -> None:
    api.service.script = [*THOUGHTFUL, TextDelta(1, "Yo"), ChoiceEnd(1, "stop", 4)]
    choices = (await api.chat(n=2)).json()["choices"]
    assert ["reasoning_content" in choice["message"] for choice in choices] == [True, False]


async def test_a_stream_has_thoughts_in_deltas_of_their_own(api: Api) -> None:
    api.service.script = list(THOUGHTFUL)
    response = await api.chat(stream=True, stream_options={"include_usage": True})
    *parts, done, _ = response.text.split("\n\n")
    chunks = [json.loads(part.removeprefix("data: ")) for part in parts]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert done == "data: [DONE]"
    assert deltas == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "Hm, "},
        {"reasoning_content": "hm."},
        {"content": "Hi"},
        {"content": "!"},
        {},
    ]
    assert chunks[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 6
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


async def test_thoughts_that_are_sent_back_are_ignored(api: Api) -> None:
    api.service.script = list(THOUGHTFUL)
    message = (await api.chat()).json()["choices"][0]["message"]
    await api.chat(messages=[{"role": "user", "content": "Hi"}, message])
    assert api.service.requests[-1].messages[1] == Message("assistant", "Hi!")


async def test_what_a_message_may_leave_out_is_documented_so(api: Api) -> None:
    message = api.app.openapi()["components"]["schemas"]["AnswerMessage"]
    assert "reasoning_content" in message["properties"]
    assert "reasoning_content" not in message["required"]
