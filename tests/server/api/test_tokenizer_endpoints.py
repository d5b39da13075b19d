"""/tokenize, /detokenize and /tokenizer_info of a real server."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tokenizers import Tokenizer as HfTokenizer

from models.tokenizer.base import TableTokenizer
from tests.server.api.doubles import Api
from tests.server.several import configured, folder_of_all
from tests.server.tiny import checkpoint, served, serving

TEXTS = ["Hello", "", " \n\n ", "你好 🙂", "\u0000", "the user said hello" * 500, "<|endoftext|>s"]
USER = {"role": "user", "content": "Hello,\n\n你好"}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "a question": [USER],
    "a system message": [{"role": "system", "content": "Be brief."}, USER],
    "several turns": [USER, {"role": "assistant", "content": " Hi. "}, USER],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 2}],
    "an answer last": [USER, {"role": "assistant", "content": "Hi."}],
}
JINJA = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def client(path: Path) -> Iterator[httpx.Client]:
    with served(path, model__dtype="float32") as (url, _), httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture(scope="module")
def jinja_client(path: Path) -> Iterator[httpx.Client]:
    template = path.parent / "template.jinja"
    template.write_text(JINJA)
    with (
        served(path, model__template=str(template)) as (url, _),
        httpx.Client(base_url=url) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def oracle(path: Path) -> HfTokenizer:
    """The library by itself, reading names of special tokens as text."""
    tokenizer = HfTokenizer.from_file(str(path.parent / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def post(client: httpx.Client, path: str, **fields: Any) -> Any:
    response = client.post(path, json=fields)
    assert response.status_code == 200, response.text
    return response.json()


def tokens(client: httpx.Client, **fields: Any) -> list[int]:
    answer = post(client, "/tokenize", **fields)
    assert answer["count"] == len(answer["tokens"])
    return answer["tokens"]  # type: ignore[no-any-return]


def text(client: httpx.Client, ids: list[int]) -> str:
    return post(client, "/detokenize", tokens=ids)["prompt"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("prompt", TEXTS)
def test_a_text_has_the_ids_of_the_library(
    client: httpx.Client, oracle: HfTokenizer, prompt: str
) -> None:
    assert tokens(client, prompt=prompt) == oracle.encode(prompt).ids


@pytest.mark.parametrize("prompt", [*TEXTS, "<|endoftext|>"])
def test_the_ids_of_a_text_give_it_back(client: httpx.Client, prompt: str) -> None:
    assert text(client, tokens(client, prompt=prompt)) == prompt


@pytest.mark.parametrize("add", [True, False, None])
def test_no_special_tokens_are_there_to_be_added(client: httpx.Client, add: bool | None) -> None:
    assert tokens(client, prompt="Hello", add_special_tokens=add) == tokens(client, prompt="Hello")


def test_a_text_has_the_ids_that_a_completion_reads(client: httpx.Client) -> None:
    fields = {"model": "tiny", "prompt": "Hello, 你好", "max_tokens": 0, "return_token_ids": True}
    (choice,) = post(client, "/v1/completions", **fields)["choices"]
    assert choice["prompt_token_ids"] == tokens(client, prompt="Hello, 你好")


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize(
    "thinking",
    [
        {},
        {"reasoning_effort": "none"},
        {"reasoning_effort": "high"},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ],
)
def test_a_conversation_has_as_many_ids_as_its_chat_counts(
    client: httpx.Client, messages: list[dict[str, Any]], thinking: dict[str, Any]
) -> None:
    fields: dict[str, Any] = {"messages": messages, **thinking}
    chat = post(client, "/v1/chat/completions", model="tiny", max_tokens=1, **fields)
    assert len(tokens(client, **fields)) == chat["usage"]["prompt_tokens"]


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_jinja_conversation_has_as_many_ids_as_its_chat_counts(
    jinja_client: httpx.Client, messages: list[dict[str, Any]]
) -> None:
    fields: dict[str, Any] = {"model": "tiny", "messages": messages}
    chat = post(jinja_client, "/v1/chat/completions", max_tokens=1, **fields)
    assert len(tokens(jinja_client, **fields)) == chat["usage"]["prompt_tokens"]


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_ids_of_a_conversation_are_answered_as_its_chat_is(
    client: httpx.Client, messages: list[dict[str, Any]]
) -> None:
    greedy = {"model": "tiny", "temperature": 0, "max_tokens": 6, "logprobs": True}
    chat = post(client, "/v1/chat/completions", messages=messages, **greedy)
    prompt = tokens(client, messages=messages)
    raw = post(client, "/v1/completions", prompt=prompt, **(greedy | {"logprobs": 1}))
    likelihoods = [one["logprob"] for one in chat["choices"][0]["logprobs"]["content"]]
    assert likelihoods
    found = raw["choices"][0]["logprobs"]["token_logprobs"]
    assert found[-len(likelihoods) :] == pytest.approx(likelihoods, abs=1e-4)


def test_without_a_generation_prompt_the_messages_stand_alone(client: httpx.Client) -> None:
    messages = [USER, {"role": "assistant", "content": "Hi."}]
    ids = tokens(client, messages=messages, add_generation_prompt=False)
    assert text(client, ids) == "User: Hello,\n你好\n\nAssistant: Hi."
    opened = tokens(client, messages=messages, add_generation_prompt=True)
    assert opened[: len(ids)] == ids
    assert text(client, opened[len(ids) :]) == "\n\nAssistant:"


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_jinja_template_says_what_messages_are_alone(
    jinja_client: httpx.Client, messages: list[dict[str, Any]]
) -> None:
    ids = tokens(jinja_client, messages=messages, add_generation_prompt=False)
    opened = tokens(jinja_client, messages=messages)
    assert text(jinja_client, ids).endswith("</s>")
    assert text(jinja_client, opened) == text(jinja_client, ids) + "<|assistant|>"


def test_every_id_has_a_string_where_strings_are_asked_for(client: httpx.Client) -> None:
    answer = post(client, "/tokenize", prompt="hello 🎈", return_token_strs=True)
    assert len(answer["token_strs"]) == answer["count"]
    assert answer["token_strs"][0] == text(client, answer["tokens"][:1])
    assert answer["token_strs"][-1].startswith("bytes:")


def test_no_strings_come_unasked(client: httpx.Client) -> None:
    assert post(client, "/tokenize", prompt="hello")["token_strs"] is None


def test_a_text_is_not_limited_but_told_of_the_limit(path: Path) -> None:
    with served(path, engine__max_prompt_tokens=5) as (url, _), httpx.Client(base_url=url) as own:
        answer = post(own, "/tokenize", prompt="x y z" * 10)
        assert answer["max_model_len"] == 5 < answer["count"]
        assert own.get("/tokenizer_info").json()["model_max_length"] == 5


def test_the_name_of_the_end_has_its_id(client: httpx.Client) -> None:
    info = client.get("/tokenizer_info").json()
    assert tokens(client, prompt=info["eos_token"]) == [info["eos_token_id"]]
    assert text(client, [info["eos_token_id"]]) == info["eos_token"] == "<|endoftext|>"


def test_the_end_is_named_within_other_ids(client: httpx.Client) -> None:
    ids = tokens(client, prompt="Hello")
    assert text(client, [*ids, 0, *ids]) == "Hello<|endoftext|>Hello"


def test_padding_is_no_text(client: httpx.Client) -> None:
    assert text(client, [511, *tokens(client, prompt="Hello")]) == "Hello"


def test_the_information_is_what_evaluations_read(client: httpx.Client) -> None:
    assert client.get("/tokenizer_info").json() == {
        "model": "tiny",
        "tokenizer_class": "tokenizer.json",
        "vocab_size": 512,
        "model_max_length": None,
        "eos_token": "<|endoftext|>",
        "eos_token_id": 0,
        "bos_token": None,
        "pad_token": None,
        "unk_token": None,
        "add_bos_token": False,
        "add_eos_token": False,
        "chat_template": None,
    }


def test_a_jinja_template_is_told(jinja_client: httpx.Client) -> None:
    assert jinja_client.get("/tokenizer_info").json()["chat_template"] == JINJA


def test_a_model_without_text_is_said_to_have_none(path: Path) -> None:
    with served(path, model__tokenizer="ids") as (url, _), httpx.Client(base_url=url) as own:
        told = own.post("/detokenize", json={"tokens": [1, 2]})
        assert (told.status_code, told.json()["error"]["param"]) == (400, "model")
        told = own.post("/tokenize", json={"prompt": "Hello"})
        assert (told.status_code, told.json()["error"]["param"]) == (400, "prompt")


def test_no_model_is_loaded_for_its_tokenizer(tmp_path: Path) -> None:
    settings = configured(folder_of_all(tmp_path))
    with serving(settings) as (url, app), httpx.Client(base_url=url) as own:
        assert tokens(own, model="two", prompt="Hello") == tokens(own, prompt="Hello")
        assert own.get("/tokenizer_info", params={"model": "org/three"}).json()["model"] == (
            "org/three"
        )
        loaded = [offer.id for offer in app.catalogue.offers if app.catalogue.loaded(offer)]
        assert loaded == ["one", "one:mood"]


class SlowTokenizer(TableTokenizer):
    """Takes a fifth of a second for every text."""

    def encode(self, text: str) -> list[int]:
        time.sleep(0.2)
        return [1] * len(text)


async def test_a_long_text_lets_the_event_loop_go_on(api: Api) -> None:
    slow = SlowTokenizer("slow", "0", {1: b"x"})
    api.service.model = replace(api.service.model, tokenizer=slow)
    asked = asyncio.create_task(api.client.post("/tokenize", json={"prompt": "x" * 10_000}))
    ticks = 0
    while not asked.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert (await asked).json()["count"] == 10_000
    assert ticks > 5
