"""Whatever is wrong with a request: a 4xx that names it, and a server that goes on."""

import json
import time
from typing import Any

import pytest

from tests.server.api.bad_tools import TOOL_FIELDS
from tests.server.api.doubles import PATH, Api, assert_error, body

USER = {"role": "user", "content": "Hi"}


def content(value: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": value}]}


# what is wrong: (fields of an otherwise good request, the parameter at fault, the error's code)
FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "model of null": ({"model": None}, "model", "invalid_type"),
    "model as a number": ({"model": 1}, "model", "invalid_type"),
    "messages as text": ({"messages": "Hi"}, "messages", "invalid_type"),
    "messages as an object": ({"messages": USER}, "messages", "invalid_type"),
    "messages of null": ({"messages": None}, "messages", "invalid_type"),
    "no messages": ({"messages": []}, "messages", "invalid_value"),
    "a message as text": ({"messages": ["Hi"]}, "messages.0", "invalid_type"),
    "a message of null": ({"messages": [USER, None]}, "messages.1", "invalid_type"),
    "no role": ({"messages": [{"content": "Hi"}]}, "messages.0.role", "missing_parameter"),
    "no content": ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_parameter"),
    "an unknown role": (
        {"messages": [{"role": "bot", "content": "Hi"}]},
        "messages.0.role",
        "invalid_value",
    ),
    "a role in capitals": (
        {"messages": [{"role": "User", "content": "Hi"}]},
        "messages.0.role",
        "invalid_value",
    ),
    "content of null": (content(None), "messages.0.content", "invalid_type"),
    "content as a number": (content(3), "messages.0.content", "invalid_type"),
    "content as an object": (content({"text": "Hi"}), "messages.0.content", "invalid_type"),
    "content without parts": (content([]), "messages.0.content", "invalid_value"),
    "a part as text": (content(["Hi"]), "messages.0.content.0", "invalid_type"),
    "a part without type": (
        content([{"text": "Hi"}]),
        "messages.0.content.0.type",
        "missing_parameter",
    ),
    "a part without text": (
        content([{"type": "text"}]),
        "messages.0.content.0.text",
        "missing_parameter",
    ),
    "an image": (
        content([{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {}}]),
        "messages.0.content.1.type",
        "invalid_value",
    ),
    "a name that is no text": (
        {"messages": [{**USER, "name": 7}]},
        "messages.0.name",
        "invalid_type",
    ),
    "stream as text": ({"stream": "true"}, "stream", "invalid_type"),
    "stream as a number": ({"stream": 1}, "stream", "invalid_type"),
    "stream_options as a list": ({"stream_options": []}, "stream_options", "invalid_type"),
    "include_usage as text": (
        {"stream": True, "stream_options": {"include_usage": "yes"}},
        "stream_options.include_usage",
        "invalid_type",
    ),
    "n of 0": ({"n": 0}, "n", "invalid_value"),
    "n of 129": ({"n": 129}, "n", "invalid_value"),
    "n as text": ({"n": "1"}, "n", "invalid_type"),
    "n as a truth": ({"n": True}, "n", "invalid_type"),
    "n between numbers": ({"n": 1.5}, "n", "invalid_type"),
    "max_tokens of 0": ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    "max_tokens below 0": ({"max_tokens": -1}, "max_tokens", "invalid_value"),
    "max_tokens as text": ({"max_tokens": "10"}, "max_tokens", "invalid_type"),
    "max_tokens beyond all": ({"max_tokens": 10**30}, "max_tokens", "invalid_value"),
    "max_completion_tokens of 0": (
        {"max_completion_tokens": 0},
        "max_completion_tokens",
        "invalid_value",
    ),
    "temperature below 0": ({"temperature": -0.1}, "temperature", "invalid_value"),
    "temperature above 2": ({"temperature": 2.1}, "temperature", "invalid_value"),
    "temperature as text": ({"temperature": "1"}, "temperature", "invalid_type"),
    "temperature as a truth": ({"temperature": True}, "temperature", "invalid_type"),
    "temperature as a list": ({"temperature": [1]}, "temperature", "invalid_type"),
    "top_p above 1": ({"top_p": 1.01}, "top_p", "invalid_value"),
    "top_p below 0": ({"top_p": -1}, "top_p", "invalid_value"),
    "top_k below -1": ({"top_k": -2}, "top_k", "invalid_value"),
    "top_k between numbers": ({"top_k": 0.5}, "top_k", "invalid_type"),
    "min_p above 1": ({"min_p": 2}, "min_p", "invalid_value"),
    "presence_penalty above 2": ({"presence_penalty": 2.5}, "presence_penalty", "invalid_value"),
    "frequency_penalty below -2": (
        {"frequency_penalty": -3},
        "frequency_penalty",
        "invalid_value",
    ),
    "repetition_penalty of 0": ({"repetition_penalty": 0}, "repetition_penalty", "invalid_value"),
    "repeat_penalty below 0": ({"repeat_penalty": -1}, "repeat_penalty", "invalid_value"),
    "penalty_decay above 1": ({"penalty_decay": 1.5}, "penalty_decay", "invalid_value"),
    "seed as text": ({"seed": "1"}, "seed", "invalid_type"),
    "seed beyond 64 bits": ({"seed": 2**63}, "seed", "invalid_value"),
    "stop of nothing": ({"stop": ""}, "stop", "invalid_value"),
    "stop as a number": ({"stop": 5}, "stop", "invalid_type"),
    "a stop of nothing": ({"stop": ["a", ""]}, "stop.1", "invalid_value"),
    "a stop that is no text": ({"stop": ["a", None]}, "stop.1", "invalid_type"),
    "17 stops": ({"stop": ["a"] * 17}, "stop", "invalid_value"),
    "a stop too long": ({"stop": "x" * 257}, "stop", "invalid_value"),
    "stop ids as text": ({"stop_token_ids": ["1"]}, "stop_token_ids.0", "invalid_type"),
    "a stop id outside": ({"stop_token_ids": [5, 100]}, "stop_token_ids.1", "invalid_value"),
    "a stop id below 0": ({"stop_token_ids": [-1]}, "stop_token_ids.0", "invalid_value"),
    "logit_bias as a list": ({"logit_bias": [1]}, "logit_bias", "invalid_type"),
    "logit_bias above 100": ({"logit_bias": {"5": 101}}, "logit_bias.5", "invalid_value"),
    "logit_bias as text": ({"logit_bias": {"5": "1"}}, "logit_bias.5", "invalid_type"),
    "logit_bias of a word": ({"logit_bias": {"cat": 1}}, "logit_bias", "invalid_value"),
    "logit_bias outside": ({"logit_bias": {"100": 1}}, "logit_bias", "invalid_value"),
    "logit_bias below 0": ({"logit_bias": {"-1": 1}}, "logit_bias", "invalid_value"),
    "logit_bias in other digits": ({"logit_bias": {"٣": 1}}, "logit_bias", "invalid_value"),
    "logit_bias of many digits": ({"logit_bias": {"9" * 5000: 1}}, "logit_bias", "invalid_value"),
    "logit_bias of many ids": (
        {"logit_bias": {str(number): 0 for number in range(1025)}},
        "logit_bias",
        "invalid_value",
    ),
    "metadata as text": ({"metadata": "x"}, "metadata", "invalid_type"),
    "metadata of 17 keys": (
        {"metadata": {str(i): "" for i in range(17)}},
        "metadata",
        "invalid_value",
    ),
    "metadata with a number": ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
    "metadata too long": ({"metadata": {"a": "x" * 513}}, "metadata.a", "invalid_value"),
    "user as a number": ({"user": 5}, "user", "invalid_type"),
    "an unknown response format": (
        {"response_format": {"type": "xml"}},
        "response_format.type",
        "invalid_value",
    ),
    "a response format without a type": (
        {"response_format": {}},
        "response_format.type",
        "missing_parameter",
    ),
    "a JSON schema without its schema": (
        {"response_format": {"type": "json_schema"}},
        "response_format.json_schema",
        "missing_parameter",
    ),
    "a JSON schema without a name": (
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        "response_format.json_schema.name",
        "missing_parameter",
    ),
    "a JSON schema that is a list": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": []}}},
        "response_format.json_schema.schema",
        "invalid_type",
    ),
    "two forms at once": (
        {"response_format": {"type": "json_object"}, "guided_regex": "a"},
        "guided_regex",
        "invalid_value",
    ),
    "two structured outputs": (
        {"structured_outputs": {"regex": "a", "choice": ["a"]}},
        "structured_outputs.choice",
        "invalid_value",
    ),
    "no choices": ({"guided_choice": []}, "guided_choice", "invalid_value"),
    "choices that are numbers": ({"guided_choice": [1]}, "guided_choice.0", "invalid_type"),
    "a regular expression as a number": ({"guided_regex": 1}, "guided_regex", "invalid_type"),
    "a JSON schema that is no JSON": ({"guided_json": "{"}, "guided_json", "invalid_value"),
    "a structural tag": (
        {"structured_outputs": {"structural_tag": "x"}},
        "structured_outputs.structural_tag",
        "unsupported_parameter",
    ),
    "logprobs as text": ({"logprobs": "yes"}, "logprobs", "invalid_type"),
    "logprobs of 0": ({"logprobs": 0}, "logprobs", "invalid_type"),
    "top_logprobs alone": ({"top_logprobs": 5}, "top_logprobs", "invalid_value"),
    "too many top_logprobs": (
        {"logprobs": True, "top_logprobs": 21},
        "top_logprobs",
        "invalid_value",
    ),
    "sound wanted": ({"modalities": ["text", "audio"]}, "modalities", "unsupported_parameter"),
    "another template": ({"chat_template": "{{ x }}"}, "chat_template", "unsupported_parameter"),
    "audio": ({"audio": {"voice": "x"}}, "audio", "unsupported_parameter"),
    "an unknown effort": ({"reasoning_effort": "huge"}, "reasoning_effort", "invalid_value"),
    "an effort as a number": ({"reasoning_effort": 1}, "reasoning_effort", "invalid_value"),
    "template variables as text": (
        {"chat_template_kwargs": "x"},
        "chat_template_kwargs",
        "invalid_type",
    ),
    "thinking as text": (
        {"chat_template_kwargs": {"enable_thinking": "yes"}},
        "chat_template_kwargs.enable_thinking",
        "invalid_type",
    ),
    "an unknown template variable": (
        {"chat_template_kwargs": {"persona": "pirate"}},
        "chat_template_kwargs.persona",
        "unsupported_parameter",
    ),
    "thinking both ways": (
        {"reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": True}},
        "chat_template_kwargs.enable_thinking",
        "invalid_value",
    ),
    "web search": ({"web_search_options": {}}, "web_search_options", "unsupported_parameter"),
    **TOOL_FIELDS,
}

GOOD = json.dumps(body())
# what is wrong: (the body's bytes, the status, the error's code)
BODIES: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 400, "invalid_type"),
    "an open brace": (b"{", 400, "invalid_json"),
    "a lost end": (GOOD[:-1].encode(), 400, "invalid_json"),
    "text after the end": (GOOD.encode() + b"x", 400, "invalid_json"),
    "single quotes": (GOOD.replace('"', "'").encode(), 400, "invalid_json"),
    "a trailing comma": (GOOD[:-1].encode() + b",}", 400, "invalid_json"),
    "a word": (b"hello", 400, "invalid_json"),
    "null": (b"null", 400, "invalid_type"),
    "a number": (b"5", 400, "invalid_type"),
    "a string": (b'"hello"', 400, "invalid_type"),
    "a list": (b"[]", 400, "invalid_type"),
    "an empty object": (b"{}", 400, "missing_parameter"),
    "NaN": (GOOD[:-1].encode() + b',"temperature":NaN}', 400, "invalid_json"),
    "Infinity": (GOOD[:-1].encode() + b',"temperature":Infinity}', 400, "invalid_json"),
    "-Infinity": (GOOD[:-1].encode() + b',"seed":-Infinity}', 400, "invalid_json"),
    "1e999": (GOOD[:-1].encode() + b',"temperature":1e999}', 400, "invalid_value"),
    "1e999 as an integer": (GOOD[:-1].encode() + b',"n":1e999}', 400, "invalid_type"),
    "a number of 5,000 digits": (
        GOOD[:-1].encode() + b',"n":' + b"9" * 5000 + b"}",
        400,
        "invalid_json",
    ),
    "200,000 brackets": (b"[" * 200_000, 400, "invalid_json"),
    "200,000 closed brackets": (b"[" * 200_000 + b"]" * 200_000, 400, "invalid_json"),
    "200,000 braces": (b'{"a":' * 200_000, 400, "invalid_json"),
    "deep in an unknown field": (
        GOOD[:-1].encode() + b',"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        400,
        "invalid_json",
    ),
    "a lone high surrogate": (GOOD.replace("Hi", "\\ud800").encode(), 400, "invalid_json"),
    "a lone low surrogate": (GOOD.replace("Hi", "\\udc00x").encode(), 400, "invalid_json"),
    "a surrogate as bytes": (
        GOOD.encode().replace(b"Hi", b"\xed\xa0\x80"),
        400,
        "invalid_json",
    ),
    "bytes that are no UTF-8": (GOOD.encode().replace(b"Hi", b"\xff\xfe"), 400, "invalid_json"),
    "overlong UTF-8": (GOOD.encode().replace(b"Hi", b"\xc0\xaf"), 400, "invalid_json"),
    "UTF-16": (GOOD.encode("utf-16"), 400, "invalid_json"),
    "a line feed in a string": (GOOD.encode().replace(b"Hi", b"a\nb"), 400, "invalid_json"),
    "40 MB": (GOOD.encode().replace(b"Hi", b"x" * 40_000_000), 413, "request_too_large"),
}

CONTENT_TYPES = [
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/jsonp",
    "text/json",
    "garbage",
    "application/json, text/plain",
]


async def assert_goes_on(api: Api) -> None:
    assert (await api.chat()).status_code == 200


@pytest.mark.parametrize("case", FIELDS.values(), ids=FIELDS)
async def test_a_field_that_does_not_fit_is_named(
    api: Api, case: tuple[dict[str, Any], str, str]
) -> None:
    fields, param, code = case
    error = assert_error(await api.chat(**fields), 400)
    assert (error["param"], error["code"]) == (param, code), error
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]
    assert api.service.requests == []
    await assert_goes_on(api)


@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES)
async def test_a_body_that_is_no_request_is_refused(api: Api, case: tuple[bytes, int, str]) -> None:
    data, status, code = case
    headers = {"content-type": "application/json"}
    error = assert_error(await api.client.post(PATH, content=data, headers=headers), status)
    assert error["code"] == code, error
    await assert_goes_on(api)


@pytest.mark.parametrize("kind", CONTENT_TYPES)
async def test_a_body_that_is_not_declared_as_json_is_refused(api: Api, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    error = assert_error(await api.client.post(PATH, content=GOOD, headers=headers), 415)
    assert error["code"] == "unsupported_media_type"
    await assert_goes_on(api)


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"]
)
async def test_every_spelling_of_json_is_taken(api: Api, kind: str) -> None:
    response = await api.client.post(PATH, content=GOOD, headers={"content-type": kind})
    assert response.status_code == 200


async def test_an_unknown_model_is_not_found(api: Api) -> None:
    error = assert_error(await api.chat(model="gpt-4o"), 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")
    await assert_goes_on(api)


async def test_an_unknown_address_is_not_found(api: Api) -> None:
    error = assert_error(await api.client.post("/v1/chat/completion", json=body()), 404)
    assert error["code"] == "unknown_url"


async def test_a_wrong_method_is_told_the_right_one(api: Api) -> None:
    response = await api.client.get("/v1/completions")
    assert assert_error(response, 405)["code"] == "method_not_allowed"
    assert response.headers["allow"] == "POST"


async def test_the_first_of_several_faults_is_named(api: Api) -> None:
    error = assert_error(await api.chat(n=0, temperature=9), 400)
    assert error["param"] in {"n", "temperature"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("messages", [1] * 500_000),
        ("messages", [{"role": "user", "content": [1] * 500_000}]),
        ("stop", [1] * 500_000),
        ("logit_bias", {str(number): "x" for number in range(400_000)}),
        ("metadata", {str(number): 1 for number in range(400_000)}),
    ],
)
async def test_half_a_million_faults_cost_hardly_more_than_one(
    api: Api, field: str, value: Any
) -> None:
    data = json.dumps(body(**{field: value}))
    begin = time.process_time()
    headers = {"content-type": "application/json"}
    assert_error(await api.client.post(PATH, content=data, headers=headers), 400)
    assert time.process_time() - begin < 3


async def test_a_long_value_is_not_repeated(api: Api) -> None:
    error = assert_error(await api.chat(temperature="secret " * 100), 400)
    assert "secret" not in error["message"]


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("messages", [], "messages must have at least 1 item, but has 0."),
        ("cache_salt", "", "cache_salt must have at least 1 character, but has 0."),
        ("metadata", {"a" * 65: "b"}, "must have at most 64 characters, but has 65."),
    ],
)
async def test_how_much_there_may_be_is_said_with_how_much_there_is(
    api: Api, field: str, value: Any, sentence: str
) -> None:
    error = assert_error(await api.chat(**{field: value}), 400)
    assert error["message"].endswith(sentence), error
