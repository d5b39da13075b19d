"""Of several answers the likeliest are returned."""

from typing import Any

import pytest
from openai import OpenAI

from tests.server.api.completions.asking import IDS, ask

HOT: Any = {"temperature": 2, "max_tokens": 6, "logprobs": 0}


def mean(choice: Any) -> float:
    told = choice.logprobs.token_logprobs[-len(choice.token_ids) :]
    return sum(told) / len(told)


def asked(client: OpenAI, **fields: Any) -> Any:
    beside = {"return_token_ids": True, "stop_token_ids": [*range(0, 512, 6)]}
    return ask(client, beside=beside, **{**HOT, **fields})


def test_the_prompt_has_no_part_in_how_likely_an_answer_is(client: OpenAI) -> None:
    """Answers of different lengths, which an unlikely prompt would weigh on differently."""
    ends: Any = {"max_tokens": 40, "n": 8, "seed": 3}
    written = asked(client, prompt=IDS, echo=True, **ends).choices
    best = asked(client, prompt=IDS, echo=True, **ends | {"n": 1, "best_of": 8}).choices[0]
    assert len({len(choice.token_ids) for choice in written}) > 2
    assert best.token_ids == max(written, key=mean).token_ids


@pytest.mark.parametrize("echo", [False, True])
def test_the_likeliest_answers_to_each_prompt_come_first(client: OpenAI, echo: bool) -> None:
    prompts = [IDS, [5]]
    written = asked(client, prompt=prompts, n=4, echo=echo).choices
    best = asked(client, prompt=prompts, n=2, best_of=4, echo=echo).choices
    expected = [
        choice.text
        for first in (0, 4)
        for choice in sorted(written[first : first + 4], key=mean, reverse=True)[:2]
    ]
    assert [choice.text for choice in best] == expected
    assert [choice.index for choice in best] == [0, 1, 2, 3]
    assert [choice.prompt_token_ids for choice in best] == [IDS, IDS, [5], [5]]


def test_likelihoods_are_told_only_where_they_are_asked_for(client: OpenAI) -> None:
    asked_for = asked(client, best_of=4).choices[0]
    silent = asked(client, best_of=4, logprobs=None).choices[0]
    assert silent.text == asked_for.text
    assert silent.logprobs is None


def test_what_was_written_counts_though_it_is_not_returned(client: OpenAI) -> None:
    usage = ask(client, best_of=4, max_tokens=3, beside={"ignore_eos": True}).usage
    assert usage.completion_tokens == 4 * 3


def test_the_best_of_as_many_as_are_returned_are_all_in_their_order(client: OpenAI) -> None:
    every, best = (asked(client, n=3, **more).choices for more in ({}, {"best_of": 3}))
    assert [choice.text for choice in best] == [choice.text for choice in every]


def test_what_only_reads_has_as_many_choices_as_are_returned(client: OpenAI) -> None:
    assert len(ask(client, n=2, best_of=3, max_tokens=0).choices) == 2
