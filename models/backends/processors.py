"""How many CPU cores this process may use: by its affinity and by the quotas of its cgroups.

A container that is given two cores of a large machine mostly sees all of them, and only has a
quota. Source: cpu.max in Documentation/admin-guide/cgroup-v2.rst, and cpu.cfs_quota_us in
Documentation/scheduler/sched-bwc.rst of Linux.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path, PurePosixPath

_GROUPS = Path("/sys/fs/cgroup")
_OURS = Path("/proc/self/cgroup")


def usable() -> int:
    """1 or more; a part of a core counts as one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([cores or 1, *(ceil(quota) for quota in quotas())]))


def quotas(groups: Path = _GROUPS, ours: Path = _OURS) -> Iterator[float]:
    """In cores, of every cgroup around this process that has one.

    groups: where cgroups are mounted; ours: the file that names those of this process.
    """
    with suppress(OSError):
        for line in ours.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for folder in _around(path):
                if not controllers:
                    yield from _version_2(groups / folder)
                elif "cpu" in controllers.split(","):
                    yield from _version_1(groups / "cpu" / folder)


def _around(path: str) -> Iterator[PurePosixPath]:
    """The group and those it lies in, up to the root, which in a container may be the group."""
    own = PurePosixPath(path.lstrip("/"))
    yield own
    yield from own.parents


def _version_2(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        yield int(quota) / int(period)  # "max" is no number


def _version_1(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota = int((group / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield quota / int((group / "cpu.cfs_period_us").read_text())
