"""Whole answers, and what a request asks of the chat service."""

import asyncio
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from server.api.chat.request import ChatCompletionRequest
from server.chat.types import ChoiceEnd, Message, SamplingOptions, TextDelta, TurnRequest
from server.errors import AnswerFailed, InvalidRequest, Overloaded
from tests.server.api.doubles import Api, answer, assert_error


async def asked(api: Api, **fields: Any) -> TurnRequest:
    response = await api.chat(**fields)
    assert response.status_code == 200, response.text
    return api.service.requests[-1]


async def test_an_answer_is_what_the_sdk_types(api: Api) -> None:
    response = await api.chat()
    parsed = ChatCompletion.model_validate(response.json(), strict=True)
    assert parsed.model_extra == {}
    assert parsed.id.startswith("chatcmpl-")
    assert parsed.model == "tiny"
    assert parsed.system_fingerprint == "fp_abcdef012345"
    assert parsed.choices[0].message.content == "Hello."
    assert parsed.choices[0].finish_reason == "stop"


async def test_required_nulls_are_sent(api: Api) -> None:
    choice = (await api.chat()).json()["choices"][0]
    assert choice["logprobs"] is None
    assert choice["message"]["refusal"] is None


async def test_every_answer_has_an_id_of_its_own(api: Api) -> None:
    assert (await api.chat()).json()["id"] != (await api.chat()).json()["id"]


async def test_usage_counts_the_prompt_once_and_every_choice(api: Api) -> None:
    api.service.script = [*answer("abc", 1), *answer("de", 0)]
    usage = (await api.chat(n=2)).json()["usage"]
    assert usage == {
        "prompt_tokens": 11,
        "completion_tokens": 5,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 7, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


async def test_choices_are_in_order_however_they_end(api: Api) -> None:
    api.service.script = [*answer("second", 1), TextDelta(0, "first"), ChoiceEnd(0, "length", 3)]
    choices = (await api.chat(n=2)).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert [choice["message"]["content"] for choice in choices] == ["first", "second"]
    assert [choice["finish_reason"] for choice in choices] == ["length", "stop"]


async def test_nothing_said_means_nothing_decided(api: Api) -> None:
    assert await asked(api) == TurnRequest("anonymous", (Message("user", "Hi"),))


async def test_null_is_the_same_as_nothing(api: Api) -> None:
    names = set(ChatCompletionRequest.model_fields) - {"model", "messages"}
    nothing = await asked(api)
    assert await asked(api, **dict.fromkeys(names)) == nothing


async def test_sampling_fields_reach_the_service(api: Api) -> None:
    request = await asked(
        api,
        temperature=0,
        top_p=0.5,
        top_k=40,
        min_p=0.1,
        typical_p=0.9,
        presence_penalty=-2,
        frequency_penalty=2,
        repetition_penalty=1.1,
        penalty_decay=0.99,
        seed=-(2**63),
        logit_bias={"5": -100, "99": 1.5},
        min_tokens=3,
        bad_words=["no"],
        allowed_token_ids=[5, 99],
    )
    assert request.sampling == SamplingOptions(
        temperature=0,
        top_p=0.5,
        top_k=40,
        min_p=0.1,
        typical_p=0.9,
        presence_penalty=-2,
        frequency_penalty=2,
        repetition_penalty=1.1,
        penalty_decay=0.99,
        seed=-(2**63),
        logit_bias=((5, -100), (99, 1.5)),
        min_tokens=3,
        bad_words=("no",),
        allowed_ids=(5, 99),
    )


async def test_an_integer_may_be_written_as_a_float(api: Api) -> None:
    assert (await asked(api, max_tokens=5.0)).max_tokens == 5


async def test_repeat_penalty_is_another_name(api: Api) -> None:
    assert (await asked(api, repeat_penalty=1.2)).sampling.repetition_penalty == 1.2


async def test_a_top_k_of_minus_one_is_off(api: Api) -> None:
    assert (await asked(api, top_k=-1)).sampling.top_k == 0


async def test_the_smaller_of_two_limits_counts(api: Api) -> None:
    assert (await asked(api, max_tokens=9, max_completion_tokens=5)).max_tokens == 5
    assert (await asked(api, max_tokens=3, max_completion_tokens=5)).max_tokens == 3


@pytest.mark.parametrize(
    ("stop", "expected"), [("a", ("a",)), ([], ()), (["a", "b"] * 8, ("a", "b") * 8)]
)
async def test_stop_is_one_string_or_up_to_sixteen(
    api: Api, stop: Any, expected: tuple[str, ...]
) -> None:
    assert (await asked(api, stop=stop)).stop == expected


async def test_stop_token_ids_reach_the_service(api: Api) -> None:
    assert (await asked(api, stop_token_ids=[0, 99])).stop_token_ids == (0, 99)


async def test_developer_is_another_name_for_system(api: Api) -> None:
    messages = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    assert (await asked(api, messages=messages)).messages[0] == Message("system", "Be kind.")


async def test_text_parts_are_joined_by_line_feeds(api: Api) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]
    request = await asked(api, messages=[{"role": "user", "content": parts}])
    assert request.messages == (Message("user", "a\n b"),)


async def test_text_is_taken_as_it_is(api: Api) -> None:
    text = "  \n\tdef f():\r\n\x00 \U0001f600 e\u0301 \u2028"
    request = await asked(api, messages=[{"role": "user", "content": text}])
    assert request.messages == (Message("user", text),)


async def test_an_answer_can_be_sent_back_as_it_came(api: Api) -> None:
    message = (await api.chat()).json()["choices"][0]["message"]
    whole = message | {"tool_calls": None, "function_call": None, "audio": None, "name": "x"}
    request = await asked(api, messages=[{"role": "user", "content": "Hi"}, whole])
    assert request.messages[1] == Message("assistant", "Hello.")


@pytest.mark.parametrize(
    "refused",
    [
        {"content": None, "refusal": "No."},
        {"refusal": "No."},
        {"content": [{"type": "refusal", "refusal": "No."}]},
    ],
)
async def test_a_refusal_of_another_model_is_what_it_said(
    api: Api, refused: dict[str, Any]
) -> None:
    user = {"role": "user", "content": "Hi"}
    talk = [user, {"role": "assistant", **refused}, user]
    said = [message.content for message in (await asked(api, messages=talk)).messages]
    assert said == ["Hi", "No.", "Hi"]


async def test_a_refusal_is_of_an_assistant_without_words(api: Api) -> None:
    user = {"role": "user", "content": "", "refusal": "No."}
    answer = {"role": "assistant", "content": "Yes.", "refusal": "No."}
    request = await asked(api, messages=[user, answer, user])
    assert [message.content for message in request.messages] == ["", "Yes.", ""]


async def test_neutral_values_of_what_is_not_supported_pass(api: Api) -> None:
    neutral = {
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "response_format": {"type": "text"},
        "logprobs": False,
        "modalities": ["text"],
        "verbosity": "medium",
        "chat_template_kwargs": {},
    }
    assert await asked(api, **neutral) == await asked(api)


async def test_what_has_no_meaning_changes_nothing(api: Api) -> None:
    meaningless = {
        "user": "u",
        "store": True,
        "metadata": {"k" * 64: "v" * 512},
        "service_tier": "auto",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "safety_identifier": "s",
        "prediction": {"type": "content", "content": "x"},
        "stream_options": {"include_obfuscation": False},
    }
    assert await asked(api, **meaningless) == await asked(api)


async def test_unknown_fields_are_ignored(api: Api) -> None:
    assert await asked(api, chat_id="x", options={"num_ctx": 4096}) == await asked(api)


async def test_a_full_queue_is_429_with_retry_after(api: Api) -> None:
    api.service.refusal = Overloaded("busy", retry_after_s=3)
    response = await api.chat()
    error = assert_error(response, 429)
    assert response.headers["retry-after"] == "3"
    assert (error["type"], error["code"]) == ("rate_limit_error", "overloaded")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_server_that_is_stopping_answers_503(api: Api, stream: bool) -> None:
    api.context.stopping = True
    response = await api.chat(stream=stream)
    assert assert_error(response, 503)["type"] == "server_error"
    assert response.headers["retry-after"]


async def test_an_answer_lost_to_the_stop_is_503(api: Api) -> None:
    async def stop() -> None:
        api.context.stopping = True

    api.service.script = [stop, AnswerFailed("the server is stopping")]
    assert_error(await api.chat(), 503)


async def test_what_the_service_refuses_keeps_its_words(api: Api) -> None:
    api.service.refusal = InvalidRequest("too long", param="messages", code="too_long")
    error = assert_error(await api.chat(), 400)
    assert error == {
        "message": "too long",
        "type": "invalid_request_error",
        "param": "messages",
        "code": "too_long",
    }


async def test_an_answer_that_breaks_is_a_500_in_the_same_shape(api: Api) -> None:
    api.service.script = [TextDelta(0, "Hel"), AnswerFailed("it broke")]
    error = assert_error(await api.chat(), 500)
    assert (error["message"], error["type"]) == ("it broke", "server_error")


async def test_an_unexpected_exception_tells_nothing(api: Api) -> None:
    api.service.refusal = ZeroDivisionError("secret")
    error = assert_error(await api.chat(), 500)
    assert "secret" not in error["message"]
    assert error["code"] == "internal_error"


async def test_the_time_limit_ends_an_answer_as_a_length_limit_does() -> None:
    api = Api(request_timeout_s=0.01)

    async def until_cancelled() -> None:
        await api.service.turns[0].cancelled.wait()

    api.service.script = [TextDelta(0, "Hel"), until_cancelled, ChoiceEnd(0, "cancelled", 3)]
    async with api.client, asyncio.timeout(5):
        choice = (await api.chat()).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hel", "length")
