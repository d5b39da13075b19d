"""Time to first token of a turn against the length of its history, over HTTP."""

import statistics
import time
from dataclasses import dataclass

from openai import OpenAI

WORDS = "the red fox and the old goose walk slowly along the river bank in the morning "


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
    start = time.perf_counter()
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
            first = first or time.perf_counter() - start
            text += chunk.choices[0].delta.content
    return first * 1000, text, tokens
