"""Two real servers on one Redis take turns in one conversation, until one of them is killed."""

import os
import signal
from itertools import pairwise
from pathlib import Path

from openai import OpenAI

from tests.server.redis import free_port, redis_at
from tests.server.test_kills import Answer, Talk, told
from tests.serving import process


def test_servers_take_turns_and_one_goes_on_where_a_killed_one_was(tmp_path: Path) -> None:
    port = free_port()
    shared = {"RWKV_SERVER_SESSIONS__STORE_URL": f"redis://127.0.0.1:{port}/0"}
    answers: list[Answer] = []
    with (
        redis_at(tmp_path, port),
        process("--data-dir", str(tmp_path / "one"), env=shared) as (one, first),
        process("--data-dir", str(tmp_path / "two"), env=shared) as (two, _),
        OpenAI(base_url=f"{one}/v1", api_key="none", max_retries=0, timeout=60) as here,
        OpenAI(base_url=f"{two}/v1", api_key="none", max_retries=0, timeout=60) as there,
    ):
        for turn, client in enumerate((here, there, here)):
            answers.append(Talk(client).ask(told(answers, turn)))
        os.kill(first.pid, signal.SIGKILL)
        answers.append(Talk(there).ask(told(answers, 3)))
    for before, after in pairwise(answers):
        assert after.prompt > after.cached >= before.prompt
