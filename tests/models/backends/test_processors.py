"""How many cores are taken, in folders made as Linux shows them to containers."""

from pathlib import Path

import pytest

from models.backends.processors import quotas, usable


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    """Where cgroups are mounted."""
    return tmp_path / "cgroup"


def found(groups: Path, ours: str) -> list[float]:
    named = groups.parent / "self"
    named.write_text(ours)
    return list(quotas(groups, named))


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


def test_a_quota_of_version_2_is_its_part_of_a_period(groups: Path) -> None:
    write(groups, cpu__max="150000 100000\n")
    assert found(groups, "0::/\n") == [1.5]


def test_a_quota_of_version_1_is_its_part_of_a_period(groups: Path) -> None:
    write(groups / "cpu", cpu__cfs_quota_us="50000\n", cpu__cfs_period_us="100000\n")
    assert found(groups, "4:memory:/\n3:cpu,cpuacct:/\n0::/\n") == [0.5]


@pytest.mark.parametrize(
    ("folder", "files"),
    [
        ("", {"cpu__max": "max 100000\n"}),
        ("cpu", {"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}),
        ("cpu", {"cpu__cfs_quota_us": "50000\n"}),
        ("", {"cpu__max": "\n"}),
    ],
)
def test_no_quota_is_no_limit(groups: Path, folder: str, files: dict[str, str]) -> None:
    write(groups / folder, **files)
    assert found(groups, "3:cpu:/\n0::/\n") == []


def test_groups_around_the_own_one_count_too(groups: Path) -> None:
    write(groups / "pod" / "container", cpu__max="400000 100000\n")
    write(groups / "pod", cpu__max="200000 100000\n")
    assert found(groups, "0::/pod/container\n") == [4.0, 2.0]


def test_a_container_that_sees_its_own_group_as_the_root_finds_its_quota(groups: Path) -> None:
    write(groups / "cpu", cpu__cfs_quota_us="200000\n", cpu__cfs_period_us="100000\n")
    assert found(groups, "1:cpu:/docker/0123\n") == [2.0]


def test_without_cgroups_there_is_no_quota(tmp_path: Path) -> None:
    assert list(quotas(tmp_path, tmp_path / "self")) == []


@pytest.mark.parametrize(
    ("cores", "quota", "expected"),
    [(8, [2.0], 2), (8, [1.5], 2), (8, [0.1], 1), (2, [4.0], 2), (8, [], 8), (8, [4.0, 2.0], 2)],
)
def test_the_least_of_cores_and_quotas_is_used_and_never_none(
    cores: int, quota: list[float], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr("models.backends.processors.quotas", lambda: iter(quota))
    assert usable() == expected


def test_where_there_is_no_affinity_every_core_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    monkeypatch.setattr("models.backends.processors.quotas", lambda: iter([]))
    assert usable() == 6
