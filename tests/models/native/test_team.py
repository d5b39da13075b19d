"""Threads of the native library that choose and score."""

import subprocess
import sys

import pytest

# In a process of its own, as a limit of memory stays; each thread asks for megabytes of stack.
_TOO_MANY = """
import os, resource, time
from models.native.team import Team

def threads():
    return len(os.listdir("/proc/self/task"))

Team(2)
before = threads()
size = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGESIZE")
resource.setrlimit(resource.RLIMIT_AS, (size + (100 << 20), resource.RLIM_INFINITY))
try:
    Team(500)
except MemoryError as error:
    end = time.monotonic() + 10
    while threads() > before and time.monotonic() < end:
        time.sleep(0.01)
    print(error, threads() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for its threads")
def test_of_threads_that_cannot_all_be_started_none_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TOO_MANY], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("500 threads could not be started 0\n", "")
