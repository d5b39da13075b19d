"""Likelihoods are the model's own, in the form that evaluations read."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from openai import OpenAI

from models import loader
from models.backends import select
from models.tokenizer import load as load_tokenizer
from tests.server.api.completions.asking import (
    IDS,
    ask,
    listed,
)
from tests.server.tiny import served


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


def test_a_scored_prompt_is_read_whole(client: OpenAI) -> None:
    ask(client, IDS)
    answer = ask(client, IDS, echo=True, logprobs=1)
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert None not in answer.choices[0].logprobs.token_logprobs[1:]


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
