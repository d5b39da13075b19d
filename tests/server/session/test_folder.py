"""Files are whole, however the system takes their parts."""

import os
from pathlib import Path

import pytest

from server.session import folder
from server.session.folder import StateFolder

KEY = b"k" * 32


@pytest.mark.parametrize("most", [1, 3, 10**6])
def test_a_system_that_takes_a_few_bytes_at_a_time_gets_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    def few(descriptor: int, parts: list[memoryview]) -> int:
        return os.write(descriptor, b"".join(parts)[:most])

    monkeypatch.setattr(folder.os, "writev", few)
    files = StateFolder(tmp_path, 0)
    files.write(KEY, [b"abcd", b"", memoryview(b"efg"), b"h"])
    assert files.read(KEY) == b"abcdefgh"


def test_a_system_without_gathering_writes_takes_a_part_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(folder.os, "writev")
    files = StateFolder(tmp_path, 0)
    files.write(KEY, [b"abcd", b"", memoryview(b"efg")])
    assert files.read(KEY) == b"abcdefg"
