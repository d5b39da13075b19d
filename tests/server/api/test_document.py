"""The OpenAPI document as a whole: FastAPI's part and that of the streams fit each other."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from server.api.answers import SCHEMAS
from server.api.chat.events import ChatStream
from server.api.completions.events import TextStream
from server.api.messages.events import MessageStream
from server.api.responses.events import ResponseStream
from tests.server.api.document import APP, DOCUMENT, answer_schema
from tests.server.api.sent import CHATS, COMPLETIONS, MESSAGES, REPLAY, RESPONSES

STREAMS = {
    CHATS: ChatStream,
    COMPLETIONS: TextStream,
    MESSAGES: MessageStream,
    RESPONSES: ResponseStream,
    REPLAY: ResponseStream,
}


def test_every_reference_is_to_something() -> None:
    named = set(re.findall(rf'"\$ref": "{SCHEMAS}([^"]*)"', json.dumps(DOCUMENT)))
    assert named - DOCUMENT["components"]["schemas"].keys() == set()


def test_bounds_are_in_the_words_of_json_schema() -> None:
    assert re.findall(r'"(?:ge|gt|le|lt)": [-\d]+', json.dumps(DOCUMENT)) == []
    fields = DOCUMENT["components"]["schemas"]["MessagesBody"]["properties"]
    assert fields["max_tokens"].items() >= {"minimum": 1, "maximum": 2**31 - 1}.items()


@pytest.mark.parametrize("path", STREAMS)
def test_a_stream_is_of_its_own_events(path: str) -> None:
    method = "get" if path == REPLAY else "post"
    schema = answer_schema(path, method, "text/event-stream")
    assert schema["$ref"] == SCHEMAS + STREAMS[path].__name__


def without_null(schema: Any) -> Any:
    """FastAPI leaves null as a default out."""
    if isinstance(schema, list):
        return [without_null(one) for one in schema]
    if isinstance(schema, dict):
        return {key: without_null(one) for key, one in schema.items() if one is not None}
    return schema


@pytest.mark.parametrize("stream", dict.fromkeys(STREAMS.values()))
def test_what_events_share_with_whole_answers_is_the_same(stream: type[BaseModel]) -> None:
    made = stream.model_json_schema(mode="serialization", ref_template=f"{SCHEMAS}{{model}}")
    for name, schema in made["$defs"].items():
        assert without_null(DOCUMENT["components"]["schemas"][name]) == without_null(schema)


def test_it_is_made_once_with_its_objects_in_order() -> None:
    assert APP.openapi() is DOCUMENT
    names = list(DOCUMENT["components"]["schemas"])
    assert names == sorted(names)
