"""Two real servers on one Redis: when one is killed, the other goes on with its conversation."""

import os
import signal
from pathlib import Path

from openai import OpenAI

from tests.server.redis import free_port, redis_at
from tests.server.test_kills import Answer, Talk, told
from tests.serving import process


def test_another_server_goes_on_where_a_killed_one_was(tmp_path: Path) -> None:
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
        for turn in range(2):
            answers.append(Talk(here).ask(told(answers, turn)))
        os.kill(first.pid, signal.SIGKILL)
        answers.append(Talk(there).ask(told(answers, 2)))
    assert answers[2].cached >= answers[1].prompt > answers[1].cached > 0
