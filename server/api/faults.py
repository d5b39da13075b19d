"""What a body that does not fit its type did wrong, in one sentence about one field."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError

from server.api.fields import UNSUPPORTED
from server.errors import InvalidRequest

_EXPECTED = "Input should be "
_SIZED = re.compile(r"\w+ should have (at (?:least|most) \d+ \w+)")
_OBJECT = dict.fromkeys(("model_attributes_type", "dict_type"), "Input should be an object")
_TAGS = {"union_tag_invalid", "union_tag_not_found"}
_SHOWN = 40  # characters of a value that a message repeats


def invalid_request(error: RequestValidationError) -> InvalidRequest:
    """The first fault of a body; of a union's branches the one that got furthest.

    `param` is the field in dotted form, list positions as numbers: "messages.0.content".
    """
    faults = [_without_tags(fault) for fault in error.errors()]
    if faults[0]["type"] == "json_invalid":
        message = f"The request body is not valid JSON: {faults[0]['ctx']['error']}."
        return InvalidRequest(message, code="invalid_json")
    paths = [_path(fault, error.body) for fault in faults]
    if not paths[0]:
        message = "The request body must be a JSON object, sent as application/json."
        return InvalidRequest(message, code="invalid_type")
    path = max((path for path in paths if path[: len(paths[0])] == paths[0]), key=len)
    chosen = [fault for fault, other in zip(faults, paths, strict=True) if other == path]
    return _described(".".join(path), chosen)


def _without_tags(fault: dict[str, Any]) -> dict[str, Any]:
    """Where no branch of a union was found, it is the key that tells them apart which is wrong."""
    if fault["type"] not in _TAGS:
        return fault
    key, given = fault["ctx"]["discriminator"].strip("'"), fault["input"]
    place = (*fault["loc"], key)
    if key not in given:
        return fault | {"type": "missing", "loc": place}
    *others, last = fault["ctx"]["expected_tags"].split(", ")
    wanted = f"{', '.join(others)} or {last}" if others else last
    return fault | {"loc": place, "input": given[key], "msg": _EXPECTED + wanted}


def _path(fault: Mapping[str, Any], body: Any) -> list[str]:
    """The steps of a location that lie in the body, which leaves out the names of branches."""
    path: list[str] = []
    steps = list(fault["loc"][1:])
    for step in steps:
        if _lies_in(step, body):
            body = body[step]
        elif fault["type"] != "missing" or step is not steps[-1]:
            continue
        path.append(str(step))
    return path


def _lies_in(step: Any, body: Any) -> bool:
    if isinstance(body, list):
        return isinstance(step, int) and step < len(body)
    return isinstance(body, dict) and step in body


def _described(param: str, faults: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    # A union's branch whose type fits tells more than those whose type does not.
    fitting = [fault for fault in faults if not fault["type"].endswith("_type")]
    faults = fitting or faults
    kinds = [fault["type"] for fault in faults]
    if kinds[0] == "missing":
        return InvalidRequest(f"{param} is required.", param=param, code="missing_parameter")
    if UNSUPPORTED in kinds:
        found = _shown(faults[0]["input"])
        message = f"{param} is not supported by this server, but is {found}; leave it out."
        return InvalidRequest(message, param=param, code=UNSUPPORTED)
    code = "invalid_value" if fitting else "invalid_type"
    return InvalidRequest(_sentence(param, faults), param=param, code=code)


def _sentence(param: str, faults: Sequence[Mapping[str, Any]]) -> str:
    wants = dict.fromkeys(_OBJECT.get(fault["type"], fault["msg"]) for fault in faults)
    if all(want.startswith(_EXPECTED) for want in wants):
        wanted = " or ".join(want.removeprefix(_EXPECTED) for want in wants)
        return f"{param} must be {wanted}, but is {_shown(faults[0]['input'])}."
    if len(wants) == 1 and (sized := _SIZED.match(faults[0]["msg"])):
        return f"{param} must have {sized[1]}, but has {len(faults[0]['input'])}."
    return f"{param}: {'; '.join(wants)}."


def _shown(value: Any) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value)}"
        case str() if len(value) > _SHOWN:
            return f"a string of {len(value)} characters"
        case _:
            text = json.dumps(value, ensure_ascii=False, default=str)
            return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
