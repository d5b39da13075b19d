"""POST /v1/completions: the OpenAI SDK against a real server with a real, if random, model."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from openai import BadRequestError, NotFoundError, OpenAI, RateLimitError

from models import loader
from models.backends import select
from models.tokenizer import load as load_tokenizer
from server.app import App
from tests.server.api.test_sdk import eventually
from tests.server.tiny import checkpoint, served

PROMPT = "Hello, the user said é🙂"
IDS = [41, 70, 304, 292, 83, 70, 222]
CAPACITY = 4 + 4  # slots and queue
ENDLESS: Any = {"max_tokens": 1_000_000, "extra_body": {"ignore_eos": True}}
KEYS = ["key", "other"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def serving(path: Path) -> Iterator[tuple[str, App]]:
    sizes = {"engine__max_slots": 4, "engine__max_queue": 4}
    with served(path, model__dtype="float32", server__api_keys=KEYS, **sizes) as both:
        yield both


@pytest.fixture
def client(serving: tuple[str, App]) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{serving[0]}/v1", api_key="key", max_retries=0) as client:
        yield client


def ask(client: OpenAI, prompt: Any = PROMPT, *, beside: Any = None, **fields: Any) -> Any:
    """`beside`: parameters that are not OpenAI's."""
    arguments = {"model": "tiny", "max_tokens": 8, "seed": 1, **fields}
    if beside is not None:
        arguments["extra_body"] = beside
    return client.completions.create(prompt=prompt, **arguments)


def collected(stream: Any) -> tuple[dict[int, dict[str, Any]], Any]:
    """What a stream says of each choice, put together, and its usage."""
    choices: dict[int, dict[str, Any]] = {}
    usage = None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            found = choices.setdefault(choice.index, {"text": "", "ids": [], "logprobs": []})
            found["text"] += choice.text
            found["reason"] = choice.finish_reason
            found["ids"] += getattr(choice, "token_ids", None) or []
            if choice.logprobs is not None:
                found["logprobs"] += listed(choice.logprobs)
    return choices, usage


def listed(logprobs: Any) -> list[tuple]:
    """An entry for every token."""
    columns = (logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs)
    return list(zip(*columns, logprobs.text_offset, strict=True))


def test_a_text_is_continued_without_a_template(client: OpenAI) -> None:
    answer = ask(client, IDS)
    assert answer.object == "text_completion"
    assert answer.usage.prompt_tokens == len(IDS)
    assert answer.choices[0].logprobs is None


def test_sixteen_tokens_are_the_default(client: OpenAI) -> None:
    answer = client.completions.create(
        model="tiny", prompt=IDS, seed=1, extra_body={"ignore_eos": True}
    )
    assert answer.usage.completion_tokens == 16


@pytest.mark.parametrize(
    ("prompt", "count"),
    [(PROMPT, 1), ([PROMPT, "b"], 2), (IDS, 1), ([IDS, [5], [6, 7]], 3)],
    ids=["text", "texts", "ids", "lists of ids"],
)
def test_every_form_of_a_prompt_is_continued(client: OpenAI, prompt: Any, count: int) -> None:
    choices = ask(client, prompt, n=2).choices
    assert [choice.index for choice in choices] == list(range(2 * count))


def test_the_choices_of_a_prompt_stand_together(client: OpenAI) -> None:
    together = ask(client, [IDS, [5, 6]], n=2).choices
    apart = [*ask(client, IDS, n=2).choices, *ask(client, [5, 6], n=2).choices]
    assert [choice.text for choice in together] == [choice.text for choice in apart]


def test_text_and_its_ids_are_the_same_prompt(client: OpenAI, path: Path) -> None:
    ids = load_tokenizer(path.parent, 512).encode(PROMPT)
    assert ask(client, PROMPT).choices[0].text == ask(client, ids).choices[0].text


def test_an_empty_text_is_the_end_of_what_was_before(client: OpenAI) -> None:
    empty, end = ask(client, ""), ask(client, [0])
    assert empty.choices[0].text == end.choices[0].text
    assert empty.usage.prompt_tokens == 1


def test_white_space_at_the_beginning_belongs_to_the_answer(client: OpenAI, path: Path) -> None:
    space = load_tokenizer(path.parent, 512).encode(" ")[0]
    answer = ask(client, IDS, max_tokens=2, logit_bias={str(space): 100})
    assert answer.choices[0].text == "  "


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 3},
        {"n": 2, "echo": True},
        {"n": 2, "logprobs": 3},
        {"echo": True, "logprobs": 2},
        {"prompt": [IDS, [5]], "echo": True, "logprobs": 0},
        {"beside": {"return_token_ids": True}, "n": 2},
        {"stop": ["e", "\ufffd"]},
        {"max_tokens": 0, "echo": True, "logprobs": 1},
    ],
    ids=str,
)
def test_a_stream_says_what_a_whole_answer_says(client: OpenAI, fields: Any) -> None:
    usage = {"stream_options": {"include_usage": True}}
    whole = ask(client, **fields)
    found, used = collected(ask(client, **fields, stream=True, **usage))
    for choice in whole.choices:
        streamed = found[choice.index]
        assert streamed["text"] == choice.text
        assert streamed["reason"] == choice.finish_reason
        assert streamed["ids"] == getattr(choice, "token_ids", [])
        entries = listed(choice.logprobs) if choice.logprobs else []
        for one, other in zip(streamed["logprobs"], entries, strict=True):
            assert (one[0], one[3]) == (other[0], other[3])
            # What is computed beside a token moves the last bits of its likelihood.
            assert one[1] == (other[1] and pytest.approx(other[1], abs=1e-4))
            assert one[2] == (other[2] and pytest.approx(other[2], abs=1e-4))
    assert used.completion_tokens == whole.usage.completion_tokens
    assert used.prompt_tokens == whole.usage.prompt_tokens


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_never_leaks(client: OpenAI, stream: bool) -> None:
    free = ask(client, max_tokens=20, logprobs=0).choices[0].text
    stop = free[4:7]
    found = ask(client, max_tokens=20, logprobs=0, stop=stop, stream=stream)
    if stream:
        choice = collected(found)[0][0]
        text, tokens = choice["text"], [entry[0] for entry in choice["logprobs"]]
    else:
        text, tokens = found.choices[0].text, found.choices[0].logprobs.tokens
    assert text == free[: free.index(stop)]
    assert joined(tokens).decode(errors="replace") == text


def joined(tokens: list[str]) -> bytes:
    """The bytes of tokens in their written form."""
    return b"".join(
        bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))
        if token.startswith("bytes:")
        else b""
        if token.startswith("token_id:")
        else token.encode()
        for token in tokens
    )


def test_usage_sums_all_choices(client: OpenAI) -> None:
    usage = ask(client, [IDS, [5, 6]], n=2, beside={"ignore_eos": True}).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(IDS) + 2, 4 * 8)


def stepwise(path: Path, dtype: str, ids: list[int]) -> list[torch.Tensor]:
    """Log-probabilities after each id, from a model fed one id at a time."""
    model = loader.load(path, select("cpu", threads=1), dtype)
    padding = load_tokenizer(path.parent, 512).padding_ids(512)
    state, found = model.new_state(1), []
    for token in ids:
        logits = model.forward(torch.tensor([token]), [1], state)[0].double()
        logits[padding] = -math.inf
        found.append(torch.log_softmax(logits, 0))
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bf16", 0.05)])
def test_likelihoods_are_the_models_own(path: Path, dtype: str, tolerance: float) -> None:
    ids = [*IDS * 6]
    with served(path, model__dtype=dtype, engine__prefill_chunk=16) as (url, _):
        client = OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)
        sampled = {"temperature": 1.5, "presence_penalty": 1.0}
        asked = {"echo": True, "logprobs": 3, "beside": {"return_token_ids": True}}
        (choice,) = ask(client, ids, **asked, **sampled).choices
        client.close()
    whole = ids + choice.token_ids
    assert choice.prompt_token_ids == ids
    expected = stepwise(path, dtype, whole)
    found = choice.logprobs
    assert found.token_logprobs[0] is None
    assert found.top_logprobs[0] is None
    for place in range(1, len(whole)):
        logprob = float(expected[place - 1][whole[place]])
        assert found.token_logprobs[place] == pytest.approx(logprob, abs=tolerance)
        best = expected[place - 1].topk(3).values.tolist()
        tops = sorted(found.top_logprobs[place].values(), reverse=True)[:3]
        assert tops == pytest.approx(best, abs=tolerance)
    assert len(found.tokens) == len(whole)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_an_evaluation_finds_the_likelihood_of_a_continuation(
    client: OpenAI, path: Path, max_tokens: int
) -> None:
    """As lm-evaluation-harness asks, and reads what it gets: context and continuation echoed."""
    context, rest = IDS, [83, 70, 5]
    given = [[*context, *rest], [*IDS, 7]]
    answer = ask(client, given, max_tokens=max_tokens, temperature=0, echo=True, logprobs=1)
    expected = stepwise(path, "float32", given[0])
    logprobs = answer.choices[0].logprobs
    end = len(logprobs.tokens) - max_tokens
    found = logprobs.token_logprobs[len(context) : end]
    assert len(found) == len(rest)
    logits = [expected[len(context) + i - 1] for i in range(len(rest))]
    likely = [float(row[token]) for row, token in zip(logits, rest, strict=True)]
    assert found == pytest.approx(likely, abs=1e-4)
    tops = logprobs.top_logprobs[len(context) : end]
    for logprob, top, row in zip(found, tops, logits, strict=True):
        assert max(top.values()) == pytest.approx(float(row.max()), abs=1e-4)
        assert logprob in top.values()


def test_a_stop_token_is_the_last_that_is_scored(client: OpenAI) -> None:
    """So that every entry but the last is the prompt's, whatever a single token turns out to be."""
    asked = {"logit_bias": {"0": 100}, "beside": {"return_token_ids": True}}
    (choice,) = ask(client, IDS, max_tokens=1, echo=True, logprobs=1, **asked).choices
    assert choice.finish_reason == "stop"
    assert len(choice.logprobs.tokens) == len(IDS) + 1
    assert choice.logprobs.tokens[-1] == "token_id:0"
    assert choice.token_ids == [0]


def test_offsets_say_where_in_the_text_a_token_begins(client: OpenAI) -> None:
    (choice,) = ask(client, max_tokens=4, echo=True, logprobs=0).choices
    entries = listed(choice.logprobs)
    for token, _, _, offset in entries:
        if not token.startswith(("bytes:", "token_id:")):
            assert choice.text[offset:].startswith(token)


def test_no_alternatives_leave_the_token_itself(client: OpenAI) -> None:
    logprobs = ask(client, logprobs=0).choices[0].logprobs
    for token, logprob, top in zip(
        logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True
    ):
        assert top == {token: logprob}


def test_an_answer_goes_on_from_its_ids_at_the_cost_of_the_new_ones(client: OpenAI) -> None:
    own: Any = {"return_token_ids": True, "ignore_eos": True}
    prompt = [300, 301, 302, *IDS]
    greedy = {"temperature": 0, "beside": own}
    whole = ask(client, prompt, max_tokens=12, **greedy).choices[0].token_ids
    first = ask(client, prompt, max_tokens=5, **greedy)
    again = ask(client, [*prompt, *first.choices[0].token_ids], max_tokens=7, **greedy)
    assert first.choices[0].token_ids + again.choices[0].token_ids == whole
    assert first.usage.prompt_tokens_details.cached_tokens == len(prompt)
    assert again.usage.prompt_tokens_details.cached_tokens == len(prompt) + 5
    more = ask(client, [*prompt, *whole, 5, 6], **greedy).usage
    assert more.prompt_tokens - more.prompt_tokens_details.cached_tokens == 2


def test_no_state_crosses_callers(client: OpenAI) -> None:
    prompt = [310, *IDS]
    ask(client, prompt)
    usage = ask(client.with_options(api_key="other"), prompt).usage
    assert usage.prompt_tokens_details.cached_tokens == 0


def test_what_stands_between_two_texts_is_asked_in_the_models_form(client: OpenAI) -> None:
    asked = ask(client, "✿prefix✿✿suffix✿ c}✿middle✿{a ", beside={"return_token_ids": True})
    between = ask(client, "{a ", suffix=" c}", beside={"return_token_ids": True})
    assert between.choices[0].text == asked.choices[0].text
    assert between.choices[0].prompt_token_ids == asked.choices[0].prompt_token_ids


def test_an_empty_suffix_says_nothing(client: OpenAI) -> None:
    assert ask(client, suffix="").choices[0].text == ask(client).choices[0].text


def test_a_template_without_a_form_for_it_refuses_a_suffix(path: Path) -> None:
    with (
        served(path, model__template="world") as (url, _),
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(BadRequestError) as refused,
    ):
        ask(client, suffix="x")
    assert refused.value.param == "suffix"


def test_a_scored_prompt_is_read_whole(client: OpenAI) -> None:
    ask(client, IDS)
    answer = ask(client, IDS, echo=True, logprobs=1)
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert None not in answer.choices[0].logprobs.token_logprobs[1:]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a suffix of ids": ({"prompt": [1, 2], "suffix": "x"}, "suffix"),
    "an echo between texts": ({"echo": True, "suffix": "x"}, "suffix"),
    "no prompt": ({"prompt": None}, "prompt"),
    "an empty list": ({"prompt": []}, "prompt"),
    "an empty list of ids": ({"prompt": [[1], []]}, "prompt.1"),
    "texts and ids": ({"prompt": ["a", 1]}, "prompt.1"),
    "an id beyond the vocabulary": ({"prompt": [1, 512]}, "prompt.1"),
    "an id below 0": ({"prompt": [[1], [2, -1]]}, "prompt.1.1"),
    "fractions of ids": ({"prompt": [1.5]}, "prompt.0"),
    "too many logprobs": ({"logprobs": 6}, "logprobs"),
    "logprobs as a boolean": ({"logprobs": True}, "logprobs"),
    "best of more": ({"best_of": 3, "n": 2}, "best_of"),
    "tokens below 0": ({"max_tokens": -1}, "max_tokens"),
    "a temperature too high": ({"temperature": 3}, "temperature"),
    "a bias beyond the vocabulary": ({"logit_bias": {"512": 1}}, "logit_bias"),
    "a stop beyond the vocabulary": ({"stop_token_ids": [512]}, "stop_token_ids.0"),
    "more than can ever run": ({"prompt": [[1]] * (CAPACITY + 1)}, "prompt"),
    "more choices than can ever run": ({"n": CAPACITY + 1}, "n"),
    "prompt_logprobs": ({"prompt_logprobs": 1}, "prompt_logprobs"),
    "more least tokens than there may be": ({"min_tokens": 3}, "min_tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_honoured_is_named(serving: tuple[str, App], case: str) -> None:
    fields, param = REFUSED[case]
    body = {"model": "tiny", "prompt": "a", "max_tokens": 1} | fields
    headers = {"authorization": "Bearer key"}
    response = httpx.post(f"{serving[0]}/v1/completions", json=body, headers=headers)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["param"] == param


def test_the_best_of_as_many_as_are_returned_are_all(client: OpenAI) -> None:
    assert len(ask(client, n=2, best_of=2, user="me").choices) == 2


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        ask(client, model="davinci")


def test_a_prompt_without_a_slot_leaves_all_others_out(client: OpenAI, serving: Any) -> None:
    running = ask(client, IDS, stream=True, n=CAPACITY - 1, **ENDLESS)
    with pytest.raises(RateLimitError):
        ask(client, [IDS, IDS])
    assert serving[1].catalogue.in_flight == CAPACITY - 1
    running.close()
    assert eventually(lambda: serving[1].catalogue.in_flight == 0)


def test_a_client_that_leaves_ends_all_its_answers(client: OpenAI, serving: Any) -> None:
    stream = ask(client, [IDS, [5]], stream=True, n=2, **ENDLESS)
    next(iter(stream))
    assert serving[1].catalogue.in_flight == 4
    stream.close()
    assert eventually(lambda: serving[1].catalogue.in_flight == 0)


def test_bytes_need_no_tokenizer_file(path: Path) -> None:
    with served(path, model__tokenizer="bytes") as (url, _):
        client = OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)
        answer = ask(client, "né", echo=True, logprobs=0, max_tokens=0)
        client.close()
    assert answer.choices[0].logprobs.tokens == ["n", "bytes:\\xc3", "bytes:\\xa9"]
    assert answer.choices[0].text == "né"


def test_a_model_without_a_tokenizer_takes_and_gives_ids(path: Path) -> None:
    with served(path, model__tokenizer="ids") as (url, _):
        client = OpenAI(base_url=f"{url}/v1", api_key="key", max_retries=0)
        own = {"return_token_ids": True}
        (choice,) = ask(client, [500, 501], logprobs=1, beside=own, logit_bias={"0": -100}).choices
        found, _ = collected(
            ask(client, [500, 501], stream=True, beside=own, logit_bias={"0": -100})
        )
        with pytest.raises(BadRequestError, match="no tokenizer; send token ids") as text:
            ask(client, "Hello")
        with pytest.raises(BadRequestError, match="no tokenizer; send token ids"):
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "Hello"}]
            )
        client.close()
    assert text.value.param == "prompt"
    assert choice.text == ""
    assert len(choice.token_ids) == 8
    assert choice.logprobs.tokens == [f"token_id:{id}" for id in choice.token_ids]
    assert found[0]["ids"] == choice.token_ids


def test_chunks_are_what_the_answer_is_made_of(serving: tuple[str, App]) -> None:
    body = {"model": "tiny", "prompt": IDS, "max_tokens": 3, "stream": True, "ignore_eos": True}
    headers = {"authorization": "Bearer key"}
    text = httpx.post(f"{serving[0]}/v1/completions", json=body, headers=headers).text
    *frames, done, rest = text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks][-1] == "length"


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_tells_how_likely_its_content_was(client: OpenAI, stream: bool) -> None:
    asked: Any = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 12,
        "seed": 2,
        "logprobs": True,
        "top_logprobs": 3,
    }
    if stream:
        chunks = list(client.chat.completions.create(**asked, stream=True))
        choices = [choice for chunk in chunks for choice in chunk.choices]
        text = "".join(choice.delta.content or "" for choice in choices)
        content = [one for c in choices if c.logprobs for one in c.logprobs.content]
    else:
        (choice,) = client.chat.completions.create(**asked).choices
        text, content = choice.message.content, choice.logprobs.content
    data = b"".join(bytes(one.bytes) for one in content)
    assert text
    assert data.decode(errors="replace") == text
    for one in content:
        assert len(one.top_logprobs) == 3
        assert one.top_logprobs[0].logprob >= one.logprob
