"""A long conversation with a model of every generation, over HTTP."""

from pathlib import Path

import pytest
from openai import OpenAI

from tests.checkpoints import Sizes, random_rwkv, save
from tests.models.tokenizer.tokenizer_files import byte_level
from tests.server.tiny import served

SIZES = Sizes(layers=2, width=64, head_size=32, ffn_width=128, vocab_size=512)
TURNS = 20
QUESTION = "And what do you say to this?"


@pytest.mark.parametrize("generation", ["4", "5.0", "5.1", "5.2", "6", "7"])
def test_every_turn_costs_its_own_words_only(generation: str, tmp_path: Path) -> None:
    byte_level(tmp_path / "tokenizer.json")
    path = save(random_rwkv(generation, SIZES), tmp_path / "tiny.pth")
    costs, messages = [], []
    with served(path) as (url, _), OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        for turn in range(TURNS):
            messages.append({"role": "user", "content": QUESTION})
            completion = client.chat.completions.create(
                model="tiny", messages=messages, max_tokens=9, seed=turn
            )
            usage = completion.usage
            costs.append(usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens)
            answer = completion.choices[0].message.content
            messages.append({"role": "assistant", "content": answer})
    assert usage.prompt_tokens > TURNS * costs[1]
    # A follow-up has the question and its headers; the first has no answer to close before it.
    assert costs[1:] == [costs[1]] * (TURNS - 1)
