"""What holds for every chat, whatever is asked: whole and streamed answers say the same."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.tiny import checkpoint, served

STOPS = st.lists(st.text("abcdefghijklmnopqrstuvwxyz \n", min_size=1, max_size=2), max_size=3)
PROMPTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
BIAS = {"0": -100}  # so that answers are long enough to show something


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    path = checkpoint(tmp_path_factory.mktemp("model"))
    with served(path) as (url, _), httpx.Client(base_url=url, timeout=60) as client:
        yield client


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": draw(PROMPTS)}],
        "max_tokens": draw(st.integers(1, 24)),
        "seed": draw(st.integers(-(2**63), 2**63 - 1)),
        "temperature": draw(st.sampled_from([0, 0.7, 2])),
        "n": draw(st.integers(1, 3)),
        "stop": draw(STOPS),
        "logprobs": draw(st.booleans()),
        "logit_bias": BIAS,
    }


@dataclass
class Heard:
    """One choice, put together from what was sent."""

    text: str = ""
    bytes: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list, compare=False)
    reason: str | None = None
    roles: int = 0

    def hear(self, message: dict[str, Any], choice: dict[str, Any]) -> None:
        self.text += message.get("content") or ""
        self.roles += "role" in message
        self.reason = choice["finish_reason"] or self.reason
        for token in (choice.get("logprobs") or {}).get("content") or []:
            self.bytes += token["bytes"] or []
            self.logprobs.append(token["logprob"])


def whole(client: httpx.Client, body: dict[str, Any]) -> tuple[list[Heard], dict[str, Any]]:
    answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
    choices = [Heard() for _ in answer["choices"]]
    for choice in answer["choices"]:
        choices[choice["index"]].hear(choice["message"], choice)
    return choices, answer["usage"]


def streamed(client: httpx.Client, body: dict[str, Any]) -> tuple[list[Heard], dict[str, Any]]:
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    choices = [Heard() for _ in range(body["n"])]
    usage: dict[str, Any] = {}
    lines = client.post("/v1/chat/completions", json=asked).raise_for_status().text.split("\n\n")
    frames = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert frames.pop() == "[DONE]"
    for chunk in map(json.loads, frames):
        usage = chunk["usage"] or usage
        for choice in chunk["choices"]:
            choices[choice["index"]].hear(choice["delta"], choice)
    return choices, usage


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(body=bodies())
def test_whole_and_streamed_answers_are_one(client: httpx.Client, body: dict[str, Any]) -> None:
    choices, usage = whole(client, body)
    again, streamed_usage = streamed(client, body)
    assert again == choices
    for one, other in zip(choices, again, strict=True):  # torch rounds by what else is in a step
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    assert streamed_usage["completion_tokens"] == usage["completion_tokens"]
    assert streamed_usage["prompt_tokens"] == usage["prompt_tokens"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] <= body["n"] * body["max_tokens"]
    for choice in choices:
        assert choice.roles == 1
        assert choice.reason in {"stop", "length"}
        assert not any(stop in choice.text for stop in body["stop"])
        if body["logprobs"]:
            assert bytes(choice.bytes).decode(errors="replace") == choice.text
            assert all(logprob <= 0 for logprob in choice.logprobs)
