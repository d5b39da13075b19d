"""Threads that a process does not wait for."""

import subprocess
import sys
import threading

import pytest

from server.threads import DaemonPool

_HANGS = """
import threading
from server.threads import DaemonPool
pool = DaemonPool(2, "hanging")
pool.submit(threading.Event().wait)
pool.shutdown(wait=False)
"""


def test_a_process_ends_though_a_thread_of_its_pool_hangs_for_ever() -> None:
    subprocess.run([sys.executable, "-c", _HANGS], timeout=20, check=True)


def test_what_is_submitted_is_done_and_what_it_raises_is_told() -> None:
    pool = DaemonPool(2, "working")
    sums = [pool.submit(sum, [number, 1]) for number in range(20)]
    failing = pool.submit(int, "x")
    pool.shutdown()
    assert [future.result(0) for future in sums] == list(range(1, 21))
    with pytest.raises(ValueError, match="invalid literal"):
        failing.result(0)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("working")]


def test_what_has_not_begun_can_be_given_up() -> None:
    pool, gate, begun = DaemonPool(1, "waiting"), threading.Event(), threading.Event()
    first = pool.submit(lambda: (begun.set(), gate.wait(10)))
    assert begun.wait(10)
    second = pool.submit(sum, [1, 2])
    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert first.result(10)
    assert second.cancelled()
