"""Time to first token of a turn against the length of its history, over HTTP.

The clock starts when the request leaves the client: before that the SDK spends about 0.1 ms on
each message of the history, which no server can change.
"""

import statistics
import time
from dataclasses import dataclass

import httpx
from openai import OpenAI

WORDS = "the red fox and the old goose walk slowly along the river bank in the morning "


class Clock:
    """Milliseconds since the client's last request left."""

    def __init__(self) -> None:
        self._sent = 0.0

    def start(self, request: httpx.Request) -> None:
        del request
        self._sent = time.perf_counter()

    def read(self) -> float:
        return (time.perf_counter() - self._sent) * 1000


CLOCK = Clock()


def connect(url: str) -> OpenAI:
    """A client whose requests start the clock."""
    http = httpx.Client(event_hooks={"request": [CLOCK.start]})
    return OpenAI(base_url=url + "/v1", api_key="none", http_client=http)


@dataclass(frozen=True, slots=True)
class TurnLatency:
    """Milliseconds to the first token (medians) with `history` tokens before the turn."""

    history: int
    first: float
    follow_up: float
    regenerate: float
    edit: float


def measure(client: OpenAI, model: str, words: int, repeats: int) -> TurnLatency:
    """One long first message, then the kinds of turn that resume from kept states."""
    rows = [_measure_once(client, model, words, number) for number in range(repeats)]
    history = rows[0][0]
    medians = [statistics.median(row[1][i] for row in rows) for i in range(4)]
    return TurnLatency(history, *medians)


def _measure_once(
    client: OpenAI, model: str, words: int, number: int
) -> tuple[int, tuple[float, float, float, float]]:
    text = f"Conversation {number} of {words} words: " + WORDS * (words // 15 + 1)
    messages = [{"role": "user", "content": text}]
    first, answer, tokens = _turn(client, model, messages)
    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "Hi"}]
    follow_up, answer, _ = _turn(client, model, messages)
    regenerate, _, _ = _turn(client, model, messages)
    edit, _, _ = _turn(client, model, [*messages[:-1], {"role": "user", "content": "Hello"}])
    return tokens, (first, follow_up, regenerate, edit)


def _turn(client: OpenAI, model: str, messages: list[dict[str, str]]) -> tuple[float, str, int]:
    """Milliseconds to the first text, the text, and the prompt's tokens."""
    stream = client.chat.completions.create(
        model=model,
        messages=messages,  # type: ignore[arg-type]
        stream=True,
        temperature=0,
        max_tokens=8,
        stream_options={"include_usage": True},
    )
    first, text, tokens = 0.0, "", 0
    for chunk in stream:
        if chunk.usage:
            tokens = chunk.usage.prompt_tokens
        if chunk.choices and chunk.choices[0].delta.content:
            first = first or CLOCK.read()
            text += chunk.choices[0].delta.content
    return first, text, tokens


def by_turn(client: OpenAI, model: str, turns: int, repeats: int) -> list[float]:
    """Milliseconds to the first token of turn 1, 2, …, each the median over conversations."""
    conversations = [_conversation(client, model, turns, number) for number in range(repeats)]
    return [statistics.median(times) for times in zip(*conversations, strict=True)]


def _conversation(client: OpenAI, model: str, turns: int, number: int) -> list[float]:
    messages: list[dict[str, str]] = []
    times = []
    for turn in range(1, turns + 1):
        text = f"What is {turn} + {turn % 7 + number}?"
        messages.append({"role": "user", "content": text})
        first, answer, _ = _turn(client, model, messages)
        messages.append({"role": "assistant", "content": answer})
        times.append(first)
    return times
