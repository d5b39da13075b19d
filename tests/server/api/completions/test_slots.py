"""All answers of a request have slots, or none has, and none goes on without its client."""

from typing import Any

import pytest
from openai import OpenAI, RateLimitError

from tests.server.api.completions.asking import CAPACITY, IDS, ask
from tests.server.api.test_sdk import eventually

ENDLESS: Any = {"max_tokens": 1_000_000, "extra_body": {"ignore_eos": True}}


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
