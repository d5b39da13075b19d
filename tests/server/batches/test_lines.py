"""An input file's lines, each checked before anything is computed."""

import io
import json
from typing import Any, BinaryIO

import pytest

from server.batches.lines import check, lines

ENDPOINT = "/v1/embeddings"
GOOD = {"custom_id": "a", "method": "POST", "url": ENDPOINT, "body": {"model": "m", "input": "é"}}

OTHER = GOOD | {"custom_id": "b"}


def written(*given: Any) -> BinaryIO:
    data = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in given]
    return io.BytesIO(b"\n".join(data))


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
def test_a_mistake_is_told_with_its_line(line: Any, code: str, param: str | None) -> None:
    found = check(written(GOOD, b"", line), ENDPOINT)
    (fault,) = found.faults
    assert (fault["code"], fault["param"], fault["line"]) == (code, param, 3)
    assert found.total == 2


def test_an_empty_file_is_a_mistake() -> None:
    (fault,) = check(written(b"", b" "), ENDPOINT).faults
    assert (fault["code"], fault["line"]) == ("empty_file", None)


def test_good_lines_come_with_their_bodies() -> None:
    source = written(b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), b"", b"")
    found = check(source, ENDPOINT)
    assert (found.total, found.model, found.faults) == (1, "m", [])
    source.seek(0)
    (line,) = lines(source)
    assert (line.number, line.custom_id, json.loads(line.body)) == (1, "a", GOOD["body"])


def test_no_more_than_a_hundred_faults_are_told() -> None:
    found = check(written(*[b"{"] * 500), ENDPOINT)
    assert (len(found.faults), found.total) == (100, 500)
