"""A real server is killed at random moments; no acknowledged turn is lost, and none is torn."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from openai import APIError, OpenAI

KILLS = int(os.environ.get("SOAK_KILLS", "3"))  # `make soak` asks for 100
TURNS = int(os.environ.get("SOAK_TURNS", "6"))
LISTENING = re.compile(r"listening on (http://\S+)")


def listening(log: IO[str]) -> str:
    seen = []
    for line in log:
        seen.append(line)
        if match := LISTENING.search(line):
            return match[1]
    raise AssertionError("the server ended before it listened:\n" + "".join(seen))


@contextmanager
def process(data: Path) -> Iterator[tuple[OpenAI, "subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--data-dir", str(data)]
    served = subprocess.Popen(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
    try:
        assert served.stdout is not None
        url = listening(served.stdout)
        with OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
            yield client, served
    finally:
        served.kill()
        served.wait()
        assert served.stdout is not None
        served.stdout.close()


def question(turn: int) -> str:
    return f"What is {turn} + {turn * 7 % 50}?"


def ask(client: OpenAI, messages: list[dict[str, str]]) -> tuple[str, int, int, int]:
    """The answer, and the tokens that were cached, that were in the prompt, and of the answer."""
    answer = client.chat.completions.create(
        model="gosling", messages=messages, temperature=0, max_tokens=24
    )
    usage = answer.usage
    cached = usage.prompt_tokens_details.cached_tokens
    return answer.choices[0].message.content, cached, usage.prompt_tokens, usage.completion_tokens


def talk(turns: int) -> Iterator[tuple[int, list[dict[str, str]]]]:
    messages: list[dict[str, str]] = []
    for turn in range(turns):
        messages.append({"role": "user", "content": question(turn)})
        yield turn, messages


def test_every_acknowledged_turn_survives_a_kill_at_any_moment(tmp_path: Path) -> None:
    expected: list[tuple[str, int, int, int]] = []
    with process(tmp_path / "whole") as (client, _):
        began = time.perf_counter()
        for _, messages in talk(TURNS):
            expected.append(ask(client, messages))
            messages.append({"role": "assistant", "content": expected[-1][0]})
        turn_s = (time.perf_counter() - began) / TURNS
    moments, kills, restarted = random.Random(1), 0, 0
    while kills < KILLS:
        history = talk(TURNS)
        turn, messages = next(history)
        data = tmp_path / f"data{restarted}"
        restarted += 1
        while turn < TURNS and kills < KILLS:
            with process(data) as (client, served):
                at = moments.uniform(0, 2.5 * turn_s)
                timer = threading.Timer(at, served.send_signal, [signal.SIGKILL])
                timer.start()
                try:
                    while True:
                        answer = ask(client, messages)
                        # The same words, and all that had been read up to the last turn.
                        assert answer[0] == expected[turn][0]
                        assert answer[2] == expected[turn][2]
                        assert answer[1] in (expected[turn][1], answer[2])
                        messages.append({"role": "assistant", "content": answer[0]})
                        turn, messages = next(history, (TURNS, messages))
                        if turn == TURNS:
                            break
                except APIError:
                    kills += 1
                finally:
                    timer.cancel()
