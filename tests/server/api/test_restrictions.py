"""What an answer may not hold, asked for over HTTP of a real, if random, model."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.tiny import checkpoint, served

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hello"}]


class Client:
    """Asks either endpoint, for ids."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def post(self, path: str, **fields: Any) -> httpx.Response:
        prompt = {"messages": HELLO} if path == CHAT else {"prompt": "Hello"}
        body = {"model": "tiny", "max_tokens": 12, "seed": 1, "return_token_ids": True}
        return self._http.post(path, json={**prompt, **body, **fields})

    def ask(self, path: str, **fields: Any) -> dict[str, Any]:
        response = self.post(path, **fields)
        assert response.status_code == 200, response.text
        choice: dict[str, Any] = response.json()["choices"][0]
        return choice

    def tokenize(self, **fields: Any) -> list[int]:
        ids: list[int] = self._http.post("/tokenize", json=fields).json()["tokens"]
        return ids


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        served(checkpoint(tmp_path_factory.mktemp("model"))) as (url, _),
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        yield Client(http)


paths = pytest.mark.parametrize("path", [CHAT, TEXT])


@paths
def test_the_end_of_a_text_waits_for_min_tokens(client: Client, path: str) -> None:
    found = client.ask(path, min_tokens=4, logit_bias={"0": 100})
    assert (found["token_ids"].index(0), found["finish_reason"]) == (4, "stop")


@paths
def test_stop_token_ids_wait_for_min_tokens(client: Client, path: str) -> None:
    found = client.ask(path, min_tokens=4, stop_token_ids=[5], logit_bias={"5": 100})
    assert found["token_ids"].index(5) == 4


@paths
def test_stop_strings_wait_for_min_tokens(client: Client, path: str) -> None:
    (token,) = client.tokenize(prompt="x")
    bias = {str(token): 100}
    for least in (0, 4):
        found = client.ask(path, stop="x", logit_bias=bias, min_tokens=least)
        text = found["text"] if path == TEXT else found["message"]["content"]
        assert (text, found["finish_reason"]) == ("x" * least, "stop")


@paths
def test_an_answer_goes_on_behind_the_end_of_a_text(client: Client, path: str) -> None:
    found = client.ask(path, ignore_eos=True, logit_bias={"0": 100})
    assert (found["token_ids"], found["finish_reason"]) == ([0] * 12, "length")


@paths
def test_only_allowed_ids_are_written(client: Client, path: str) -> None:
    allowed = [7, 70, 300]
    ids = client.ask(path, allowed_token_ids=allowed, temperature=2, max_tokens=40)["token_ids"]
    assert set(ids) == set(allowed)


@paths
def test_bad_words_are_not_written(client: Client, path: str) -> None:
    (a,), (b,) = client.tokenize(prompt="a"), client.tokenize(prompt="b")
    word = client.tokenize(prompt="ab")
    fields = {"allowed_token_ids": [a, b, *word], "temperature": 2, "max_tokens": 60}
    free = client.ask(path, **fields)["token_ids"]
    assert [a, b] in [free[i : i + 2] for i in range(len(free))]
    assert word == [a, b]
    ids = client.ask(path, **fields, bad_words=["ab"])["token_ids"]
    assert [a, b] not in [ids[i : i + 2] for i in range(len(ids))]
    assert len(ids) == 60
    assert b not in client.ask(path, **fields, bad_words=["b"])["token_ids"]


@paths
def test_where_nothing_but_a_stop_is_left_min_tokens_give_way(client: Client, path: str) -> None:
    found = client.ask(path, min_tokens=4, allowed_token_ids=[0])
    assert (found["token_ids"], found["finish_reason"]) == ([0], "stop")


@paths
def test_an_answer_that_may_not_go_on_ends(client: Client, path: str) -> None:
    (a,) = client.tokenize(prompt="a")
    found = client.ask(path, allowed_token_ids=[a], bad_words=["aa"])
    assert (found["token_ids"], found["finish_reason"]) == ([a], "stop")


@paths
def test_one_that_may_not_become_what_it_has_to_be_is_cut(client: Client, path: str) -> None:
    (a,) = client.tokenize(prompt="a")
    found = client.ask(path, allowed_token_ids=[a], guided_choice=["ab"])
    assert (found["token_ids"], found["finish_reason"]) == ([a], "length")
    found = client.ask(path, allowed_token_ids=[a], guided_choice=["b"])
    assert (found["token_ids"], found["finish_reason"]) == ([], "length")


@paths
def test_the_smallest_typical_p_leaves_nothing_to_chance(client: Client, path: str) -> None:
    fields = {"temperature": 2, "min_p": 0, "top_p": 1}
    free = [client.ask(path, **fields, seed=seed)["token_ids"] for seed in (1, 2)]
    bound = [client.ask(path, **fields, seed=seed, typical_p=1e-9)["token_ids"] for seed in (1, 2)]
    assert free[0] != free[1]
    assert bound[0] == bound[1]


def test_a_chat_has_the_ids_of_its_prompt_and_of_its_answer(client: Client) -> None:
    whole = client.post(CHAT).json()
    assert whole["prompt_token_ids"] == client.tokenize(model="tiny", messages=HELLO)
    assert len(whole["choices"][0]["token_ids"]) == whole["usage"]["completion_tokens"]


def test_a_follow_up_has_the_ids_that_were_read(client: Client) -> None:
    first = client.post(CHAT, stop="\n").json()
    said = {"role": "assistant", "content": first["choices"][0]["message"]["content"]}
    more = client.post(CHAT, messages=[*HELLO, said, {"role": "user", "content": "And?"}]).json()
    prompt = first["prompt_token_ids"]
    assert more["usage"]["prompt_tokens"] == len(more["prompt_token_ids"])
    assert more["prompt_token_ids"][: len(prompt) - 5] == prompt[:-5]


def test_the_chunks_of_a_chat_have_the_same_ids(client: Client) -> None:
    whole = client.post(CHAT, n=2).json()
    lines = client.post(CHAT, n=2, stream=True).text.split("\n")
    chunks = [httpx.Response(200, text=line[6:]).json() for line in lines if line[6:7] == "{"]
    prompts = [chunk["prompt_token_ids"] for chunk in chunks if "prompt_token_ids" in chunk]
    assert prompts == [whole["prompt_token_ids"]]
    ids = {c["index"]: c["token_ids"] for ch in chunks for c in ch["choices"] if "token_ids" in c}
    assert [ids[i] for i in range(2)] == [c["token_ids"] for c in whole["choices"]]


@paths
def test_ids_are_not_told_unasked(client: Client, path: str) -> None:
    assert "token_ids" not in client.post(path, return_token_ids=False).text


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "more least tokens than there may be": ({"min_tokens": 13}, "min_tokens"),
    "fewer than none": ({"min_tokens": -1}, "min_tokens"),
    "no typical mass": ({"typical_p": 0}, "typical_p"),
    "an empty word": ({"bad_words": [""]}, "bad_words.0"),
    "an id beyond the vocabulary": ({"allowed_token_ids": [5, 512]}, "allowed_token_ids.1"),
    "no id": ({"allowed_token_ids": []}, "allowed_token_ids"),
    "only padding": ({"allowed_token_ids": [511]}, "allowed_token_ids"),
}


@paths
@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_named(client: Client, path: str, case: str) -> None:
    fields, param = WRONG[case]
    response = client.post(path, **fields)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


@paths
def test_ids_that_are_all_bad_words_are_refused(client: Client, path: str) -> None:
    (a,) = client.tokenize(prompt="a")
    response = client.post(path, allowed_token_ids=[a], bad_words=["a"])
    assert response.json()["error"]["param"] == "allowed_token_ids"


@paths
def test_a_salt_keeps_states_apart(client: Client, path: str) -> None:
    def cached(**fields: Any) -> int:
        usage = client.post(path, **fields).json()["usage"]
        found: int = usage["prompt_tokens_details"]["cached_tokens"]
        return found

    text = "Something that nobody else here says."
    said = {"messages": [{"role": "user", "content": text}]} if path == CHAT else {"prompt": text}
    assert [cached(**said, cache_salt="a") > 0 for _ in range(2)] == [False, True]
    assert cached(**said, cache_salt="b") == 0
    assert cached(**said) == 0
    assert client.post(path, **said, cache_salt="").status_code == 400
