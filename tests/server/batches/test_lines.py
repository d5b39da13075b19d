"""An input file's lines, each checked before anything is computed."""

import json
from pathlib import Path
from typing import Any

import pytest

from server.batches.lines import check, lines

ENDPOINT = "/v1/embeddings"
GOOD = {"custom_id": "a", "method": "POST", "url": ENDPOINT, "body": {"model": "m", "input": "é"}}

OTHER = GOOD | {"custom_id": "b"}


def written(folder: Path, *given: Any) -> Path:
    path = folder / "in.jsonl"
    data = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in given]
    path.write_bytes(b"\n".join(data))
    return path


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None),
        (b"[" * 100_000, "invalid_json_line", None),
        ([1], "invalid_json_line", None),
        (without("custom_id"), "missing_required_parameter", "custom_id"),
        (without("body"), "missing_required_parameter", "body"),
        (GOOD | {"custom_id": 7}, "invalid_type", "custom_id"),
        (GOOD | {"custom_id": ""}, "invalid_value", "custom_id"),
        (GOOD | {"body": "text"}, "invalid_type", "body"),
        (OTHER | {"method": "GET"}, "invalid_method", "method"),
        (OTHER | {"url": "/v1/completions"}, "invalid_url", "url"),
        (OTHER | {"body": {"stream": True}}, "invalid_value", "body.stream"),
        (GOOD, "duplicate_custom_id", "custom_id"),
    ],
)
def test_a_mistake_is_told_with_its_line(
    tmp_path: Path, line: Any, code: str, param: str | None
) -> None:
    found = check(written(tmp_path, GOOD, b"", line), ENDPOINT)
    (fault,) = found.faults
    assert (fault["code"], fault["param"], fault["line"]) == (code, param, 3)
    assert found.total == 2


def test_an_empty_file_is_a_mistake(tmp_path: Path) -> None:
    (fault,) = check(written(tmp_path, b"", b" "), ENDPOINT).faults
    assert (fault["code"], fault["line"]) == ("empty_file", None)


def test_good_lines_come_with_their_bodies(tmp_path: Path) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), b"", b"")
    found = check(path, ENDPOINT)
    assert (found.total, found.model, found.faults) == (1, "m", [])
    (line,) = lines(path)
    assert (line.number, line.custom_id, json.loads(line.body)) == (1, "a", GOOD["body"])


def test_no_more_than_a_hundred_faults_are_told(tmp_path: Path) -> None:
    found = check(written(tmp_path, *[b"{"] * 500), ENDPOINT)
    assert (len(found.faults), found.total) == (100, 500)
