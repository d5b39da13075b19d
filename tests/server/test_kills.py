"""A real server is killed at random moments; no acknowledged turn is lost, and none is torn.

The conversation goes on with the same data folder after every kill. What the killed server had
acknowledged must be found again, and nothing may be found that was not said.
"""

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from openai import APIError, OpenAI

from tests.serving import process

KILLS = int(os.environ.get("SOAK_KILLS", "2"))  # `make soak` asks for 100
TURNS = int(os.environ.get("SOAK_TURNS", "6"))
ANSWER_TOKENS = 24


@dataclass(frozen=True)
class Answer:
    text: str
    cached: int
    prompt: int


Messages = list[dict[str, str]]


@contextmanager
def serving(data: Path) -> Iterator[tuple["Talk", int]]:
    """A talk with a new server on this folder, and the server's process id."""
    with (
        process("--data-dir", str(data), env={}) as (url, served),
        OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client,
    ):
        yield Talk(client), served.pid


class Talk:
    def __init__(self, client: OpenAI) -> None:
        self._client = client

    def ask(self, messages: Messages) -> Answer:
        answer = self._client.chat.completions.create(
            model="gosling", messages=messages, temperature=0, max_tokens=ANSWER_TOKENS
        )
        cached = answer.usage.prompt_tokens_details.cached_tokens
        return Answer(answer.choices[0].message.content, cached, answer.usage.prompt_tokens)


def told(answers: list[Answer], turn: int) -> Messages:
    """The conversation up to the question of a turn."""
    messages: Messages = []
    for number in range(turn + 1):
        messages.append({"role": "user", "content": f"What is {number} + {number * 7 % 50}?"})
        if number < turn:
            messages.append({"role": "assistant", "content": answers[number].text})
    return messages


def uninterrupted(data: Path) -> tuple[list[Answer], float]:
    """Every answer of the whole conversation, and the seconds that one took."""
    answers: list[Answer] = []
    with serving(data) as (talk, _):
        began = time.perf_counter()
        for turn in range(TURNS):
            answers.append(talk.ask(told(answers, turn)))
        return answers, (time.perf_counter() - began) / TURNS


def until_killed(
    talk: Talk, pid: int, turn: int, expected: list[Answer], *, at_s: float, acknowledged: int
) -> int:
    """Goes on from a turn until the server is killed; the first turn it did not acknowledge.

    It is killed after so many seconds, or at the very moment of so many acknowledged turns.
    """
    timer = threading.Timer(at_s, os.kill, [pid, signal.SIGKILL])
    timer.start()
    try:
        for number in range(turn, TURNS):
            answer = talk.ask(told(expected, number))
            if number + 1 - turn == acknowledged:
                os.kill(pid, signal.SIGKILL)
            assert answer.text == expected[number].text
            # All up to the last acknowledged turn, and this question if it was read before.
            assert answer.prompt == expected[number].prompt
            assert answer.cached in (expected[number].cached, answer.prompt)
            turn = number + 1
    except APIError:
        pass  # killed within this turn
    finally:
        timer.cancel()
    return turn


def test_every_acknowledged_turn_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    expected, turn_s = uninterrupted(tmp_path / "whole")
    assert all(one.cached < other.cached for one, other in itertools.pairwise(expected))
    moments, turn, conversation = random.Random(1), 0, 0
    for kill in range(KILLS):
        with serving(tmp_path / str(conversation)) as (talk, pid):
            at_s, acknowledged = moments.uniform(0.5, 3) * turn_s, 0
            if kill % 2:
                at_s, acknowledged = 60, moments.randint(1, 3)
            turn = until_killed(talk, pid, turn, expected, at_s=at_s, acknowledged=acknowledged)
        if turn == TURNS:
            turn, conversation = 0, conversation + 1
    with serving(tmp_path / str(conversation)) as (talk, pid):  # what the last kill has left
        until_killed(talk, pid, turn, expected, at_s=60, acknowledged=1)
