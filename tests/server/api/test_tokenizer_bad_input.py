"""Whatever is wrong with what is to be tokenised: a 4xx that names it, and no harm done."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.api.doubles import assert_error
from tests.server.tiny import checkpoint, served

USER = {"role": "user", "content": "Hi"}
CHAT = {"messages": [USER]}

# what is wrong: (the body, the parameter at fault, the error's code)
TOKENIZE: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({}, "prompt", "missing_parameter"),
    "nulls": ({"prompt": None, "messages": None}, "prompt", "missing_parameter"),
    "both": ({"prompt": "Hi", **CHAT}, "messages", "invalid_value"),
    "model as a number": ({"model": 1, "prompt": "Hi"}, "model", "invalid_type"),
    "prompt as a number": ({"prompt": 5}, "prompt", "invalid_type"),
    "prompt as a list": ({"prompt": ["Hi"]}, "prompt", "invalid_type"),
    "prompt as ids": ({"prompt": [1, 2]}, "prompt", "invalid_type"),
    "special tokens as text": (
        {"prompt": "Hi", "add_special_tokens": "no"},
        "add_special_tokens",
        "invalid_type",
    ),
    "strings as a number": (
        {"prompt": "Hi", "return_token_strs": 1},
        "return_token_strs",
        "invalid_type",
    ),
    "messages as text": ({"messages": "Hi"}, "messages", "invalid_type"),
    "no messages": ({"messages": []}, "messages", "invalid_value"),
    "a message as text": ({"messages": ["Hi"]}, "messages.0", "invalid_type"),
    "no role": ({"messages": [{"content": "Hi"}]}, "messages.0.role", "missing_parameter"),
    "an unknown role": (
        {"messages": [{"role": "bot", "content": "Hi"}]},
        "messages.0.role",
        "invalid_value",
    ),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages.0.content.0.type",
        "invalid_value",
    ),
    "a generation prompt as text": (
        {**CHAT, "add_generation_prompt": "yes"},
        "add_generation_prompt",
        "invalid_type",
    ),
    "an unknown effort": (
        {**CHAT, "reasoning_effort": "huge"},
        "reasoning_effort",
        "invalid_value",
    ),
    "an unknown template variable": (
        {**CHAT, "chat_template_kwargs": {"persona": "pirate"}},
        "chat_template_kwargs.persona",
        "unsupported_parameter",
    ),
    "thinking both ways": (
        {
            **CHAT,
            "reasoning_effort": "none",
            "chat_template_kwargs": {"enable_thinking": True},
        },
        "chat_template_kwargs.enable_thinking",
        "invalid_value",
    ),
    "a tool of nothing": (
        {**CHAT, "tools": [{"type": "function"}]},
        "tools.0.function",
        "missing_parameter",
    ),
    "a result of an unknown call": (
        {"messages": [{"role": "tool", "content": "4", "tool_call_id": "x"}]},
        "messages.0.tool_call_id",
        "invalid_value",
    ),
    "a template": ({**CHAT, "chat_template": "{{ x }}"}, "chat_template", "unsupported_parameter"),
    "an answer to go on with": (
        {**CHAT, "continue_final_message": True},
        "continue_final_message",
        "invalid_value",
    ),
}
DETOKENIZE: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({}, "tokens", "missing_parameter"),
    "null": ({"tokens": None}, "tokens", "invalid_type"),
    "an id alone": ({"tokens": 5}, "tokens", "invalid_type"),
    "text": ({"tokens": "5"}, "tokens", "invalid_type"),
    "ids as text": ({"tokens": [1, "5"]}, "tokens.1", "invalid_type"),
    "a truth": ({"tokens": [True]}, "tokens.0", "invalid_type"),
    "between ids": ({"tokens": [1.5]}, "tokens.0", "invalid_type"),
    "lists of ids": ({"tokens": [[1]]}, "tokens.0", "invalid_type"),
    "an id below 0": ({"tokens": [1, -1]}, "tokens.1", "invalid_value"),
    "an id outside": ({"tokens": [1, 2, 512]}, "tokens.2", "invalid_value"),
    "an id beyond all": ({"tokens": [10**30]}, "tokens.0", "invalid_value"),
    "an id outside among many": ({"tokens": [1] * 50_000 + [512]}, "tokens.50000", "invalid_value"),
    "model as a list": ({"model": [], "tokens": [1]}, "model", "invalid_type"),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    path = checkpoint(tmp_path_factory.mktemp("tiny"))
    with served(path) as (url, _), httpx.Client(base_url=url) as client:
        yield client


def assert_refused(
    client: httpx.Client, path: str, case: tuple[dict[str, Any], str, str], good: dict[str, Any]
) -> None:
    body, param, code = case
    error = assert_error(client.post(path, json=body), 400)
    assert (error["param"], error["code"]) == (param, code), error
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]
    assert client.post(path, json=good).status_code == 200


@pytest.mark.parametrize("case", TOKENIZE.values(), ids=TOKENIZE)
def test_what_cannot_be_tokenised_is_named(
    client: httpx.Client, case: tuple[dict[str, Any], str, str]
) -> None:
    assert_refused(client, "/tokenize", case, {"prompt": "Hi"})


@pytest.mark.parametrize("case", DETOKENIZE.values(), ids=DETOKENIZE)
def test_what_cannot_be_made_text_is_named(
    client: httpx.Client, case: tuple[dict[str, Any], str, str]
) -> None:
    assert_refused(client, "/detokenize", case, {"tokens": [1]})


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_an_unknown_model_is_not_found(client: httpx.Client, path: str) -> None:
    response = client.post(path, json={"model": "gpt-4o", "prompt": "Hi", "tokens": [1]})
    error = assert_error(response, 404)
    assert (error["param"], error["code"]) == ("model", "model_not_found")


def test_information_about_an_unknown_model_is_not_found(client: httpx.Client) -> None:
    response = client.get("/tokenizer_info", params={"model": "gpt-4o"})
    assert assert_error(response, 404)["code"] == "model_not_found"


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{", "invalid_json"),
        (b"[]", "invalid_type"),
        (b'{"prompt":"\\ud800"}', "invalid_json"),
        (b'{"tokens":[NaN]}', "invalid_json"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    client: httpx.Client, path: str, data: bytes, code: str
) -> None:
    headers = {"content-type": "application/json"}
    assert assert_error(client.post(path, content=data, headers=headers), 400)["code"] == code


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_a_body_that_is_not_declared_as_json_is_refused(client: httpx.Client, path: str) -> None:
    headers = {"content-type": "text/plain"}
    assert_error(client.post(path, content=b'{"prompt":"Hi","tokens":[1]}', headers=headers), 415)


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize"])
def test_other_methods_are_not_allowed(client: httpx.Client, path: str) -> None:
    assert_error(client.get(path), 405)
