"""A disk that is really full: memory has to do until there is room again, and nothing is torn.

It is a file system of a few megabytes in memory, mounted in a namespace of its own, which needs no
root where the system lets users have such.
"""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system as Linux does")
def test_a_full_disk_leaves_memory_and_archiving_resumes(tmp_path: Path) -> None:
    mounted = 'mount -t tmpfs -o size=8m full "$1" && exec "$0" -m "$2" "$1"'
    program = [sys.executable, str(tmp_path), "tests.server.session.full_disk"]
    ran = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, *program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
