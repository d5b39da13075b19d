"""Texts are gone on from by their exact ids, by their caller alone."""

from typing import Any

from openai import OpenAI

from tests.server.api.completions.asking import IDS, ask


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
