"""Random requests for streams: every event is one that our OpenAPI document has.

Most fields of a random request would only refuse it, so few of them are kept, beside what has to be
there. schemathesis looks at what the data of each event is as JSON.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.api import CHECKS, RUN, operations
from tests.fuzz.stored import ASKED, Stored
from tests.server.api.document import DOCUMENT
from tests.server.api.stream_fields import (
    CHAT_FIELDS,
    COMPLETION_FIELDS,
    MESSAGE_FIELDS,
    RESPONSE_FIELDS,
)

HELLO = {"model": "tiny", "messages": ASKED["messages"]}
NEEDED: Mapping[str, dict[str, Any]] = {
    "POST /v1/chat/completions": HELLO,
    "POST /v1/completions": {"model": "tiny", "prompt": "Hi"},
    "POST /v1/responses": {"model": "tiny", "input": "Hi"},
    "POST /v1/messages": {**HELLO, "max_tokens": 8},
    "GET /v1/responses/{response_id}": {},
}
FIELDS = {
    "POST /v1/chat/completions": CHAT_FIELDS,
    "POST /v1/completions": COMPLETION_FIELDS,
    "POST /v1/responses": RESPONSE_FIELDS,
    "POST /v1/messages": MESSAGE_FIELDS,
}


def without(needed: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The document, whose requests have nothing of what is there anyway."""
    document = deepcopy(DOCUMENT)
    for name, fields in needed.items():
        method, path = name.lower().split()
        if fields:
            body = document["paths"][path][method]["requestBody"]["content"]["application/json"]
            schema = document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
            schema["required"] = [key for key in schema["required"] if key not in fields]
            for key in fields:
                del schema["properties"][key]
    return document


ASKING = operations(without(NEEDED))
STREAMED = [
    name
    for name, operation in ASKING.items()
    if "text/event-stream" in operation.definition.raw["responses"]["200"]["content"]
]


def test_every_operation_with_a_stream_is_asked() -> None:
    assert sorted(NEEDED) == sorted(STREAMED)


@pytest.mark.parametrize("name", STREAMED)
def test_every_event_is_as_documented(url: str, stored: Stored, name: str) -> None:
    @RUN
    @given(ASKING[name].as_strategy(), st.data())
    def check(case: schemathesis.Case, data: st.DataObject) -> None:
        stored.name(case.path_parameters)
        if isinstance(case.body, dict):
            given_fields = {**case.body, "stream": True}
            kept = data.draw(st.sets(st.sampled_from(sorted(given_fields)), max_size=3))
            fields = data.draw(st.sampled_from(FIELDS[name]))
            case.body = {key: given_fields[key] for key in kept} | NEEDED[name] | fields
            case.body["stream"] = True
            stored.name(case.body)
        else:
            case.query = {**case.query, "stream": "true"}
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=30)

    check()
