"""Every form of a prompt: text, ids, several, with a suffix, or without a tokenizer."""

from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from models.tokenizer import load as load_tokenizer
from tests.server.api.completions.asking import IDS, PROMPT, ask, collected
from tests.server.tiny import served


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


def test_usage_sums_all_choices(client: OpenAI) -> None:
    usage = ask(client, [IDS, [5, 6]], n=2, beside={"ignore_eos": True}).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(IDS) + 2, 4 * 8)


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
