"""What cannot be honoured is refused, by its name."""

from typing import Any

import httpx
import pytest
from openai import NotFoundError, OpenAI

from server.app import App
from tests.server.api.completions.asking import CAPACITY, ask

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
    "best of less": ({"best_of": 2, "n": 3}, "best_of"),
    "the best in a stream": ({"best_of": 3, "n": 2, "stream": True}, "best_of"),
    "best of more than can ever run": ({"best_of": CAPACITY + 1}, "best_of"),
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


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        ask(client, model="davinci")
