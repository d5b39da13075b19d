"""The lines of a batch's input file: read, and checked before anything is computed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

MOST = 50_000  # requests of a batch, as OpenAI has it
_MOST_FAULTS = 100  # that are told
_LONGEST_ID = 512


@dataclass(frozen=True, slots=True)
class Line:
    """One request: its number in the file from 1, and its body as JSON."""

    number: int
    custom_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at the whole file has found; model: of its first request."""

    total: int
    model: str | None
    faults: list[dict[str, Any]]


def lines(source: BinaryIO) -> Iterator[Line]:
    """The requests of a file that was checked."""
    for number, data in _each(source):
        given = json.loads(data)
        body = json.dumps(given["body"]).encode()
        yield Line(number, given["custom_id"], body)


def check(source: BinaryIO, endpoint: str) -> Checked:
    """Every line by itself, and that no two have the same custom_id."""
    faults: list[dict[str, Any]] = []
    total, model, known = 0, None, set[str]()
    for number, data in _each(source):
        total += 1
        found = _fault(data, endpoint, known)
        if found is not None and len(faults) < _MOST_FAULTS:
            faults.append(found | {"line": number})
        if found is None and model is None:
            model = json.loads(data)["body"].get("model")
    if not total:
        faults.append(fault("empty_file", "The input file has no requests."))
    if total > MOST:
        message = f"The input file has {total:,} requests, more than the {MOST:,} of a batch."
        faults.append(fault("too_many_requests", message))
    return Checked(total, model if isinstance(model, str) else None, faults)


def fault(code: str, message: str, param: str | None = None) -> dict[str, Any]:
    """What is wrong with a file, or with one line of it."""
    return {"code": code, "message": message, "param": param, "line": None}


def _each(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1."""
    for number, data in enumerate(source, 1):
        if data.strip():
            yield number, data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data


def _fault(data: bytes, endpoint: str, known: set[str]) -> dict[str, Any] | None:
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return fault("invalid_json_line", "This line is not valid JSON in UTF-8.")
    if not isinstance(given, dict):
        return fault("invalid_json_line", "This line is not a JSON object.")
    for param, kind, name in (("custom_id", str, "a string"), ("body", dict, "an object")):
        if param not in given:
            return fault("missing_required_parameter", f"{param} is required.", param)
        if not isinstance(given[param], kind):
            return fault("invalid_type", f"{param} must be {name}.", param)
    return _fault_of(given, endpoint, known)


def _fault_of(given: dict[str, Any], endpoint: str, known: set[str]) -> dict[str, Any] | None:
    name = given["custom_id"]
    if not 0 < len(name) <= _LONGEST_ID:
        message = f"custom_id must have 1 to {_LONGEST_ID} characters."
        return fault("invalid_value", message, "custom_id")
    if name in known:
        message = "custom_id is that of another request of this file."
        return fault("duplicate_custom_id", message, "custom_id")
    known.add(name)
    if given.get("method") != "POST":
        return fault("invalid_method", "method must be POST.", "method")
    if given.get("url") != endpoint:
        return fault("invalid_url", f"url must be {endpoint}, the batch's endpoint.", "url")
    for param, what in (("stream", "streamed"), ("background", "in the background")):
        if given["body"].get(param):
            message = f"A request of a batch cannot be {what}."
            return fault("invalid_value", message, f"body.{param}")
    return None
