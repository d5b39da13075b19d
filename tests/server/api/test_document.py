"""The OpenAPI document as a whole: FastAPI's part and that of the streams fit each other."""

import asyncio
import json
import re
import threading
from typing import Any

import fastapi.applications
import fastapi.openapi.utils
import pytest
from pydantic import BaseModel

from server.api.answers import SCHEMAS
from server.api.chat.events import ChatStream
from server.api.completions.events import TextStream
from server.api.messages.events import MessageStream
from server.api.responses.events import ResponseStream
from tests.server.api.document import APP, DOCUMENT, answer_schema
from tests.server.api.doubles import Api
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


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
async def test_others_are_answered_while_it_is_made(
    api: Api, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    begun, answered, make = threading.Event(), threading.Event(), api.app.openapi

    def made_meanwhile() -> dict[str, Any]:
        begun.set()
        assert answered.wait(10), "nobody was answered"
        return make()

    monkeypatch.setattr(api.app, "openapi", made_meanwhile)
    asking = asyncio.create_task(api.client.get(path))
    while not begun.is_set():
        await asyncio.sleep(0.001)
    assert (await api.client.get("/health")).status_code == 200
    answered.set()
    assert (await asking).status_code == 200


async def test_it_is_made_once_for_all_who_ask(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def get_openapi(**options: Any) -> dict[str, Any]:
        made.append(options["title"])
        document: dict[str, Any] = fastapi.openapi.utils.get_openapi(**options)
        return document

    monkeypatch.setattr(fastapi.applications, "get_openapi", get_openapi)
    paths = ["/openapi.json", "/docs"] * 3
    answers = await asyncio.gather(*(api.client.get(path) for path in paths))
    assert {answer.status_code for answer in answers} == {200}
    assert made == ["rwkv-server"]
    assert answers[0].json() == DOCUMENT


async def test_whoever_leaves_does_not_end_it_for_others(api: Api) -> None:
    leaving = asyncio.create_task(api.client.get("/openapi.json"))
    staying = asyncio.create_task(api.client.get("/openapi.json"))
    await asyncio.sleep(0.01)
    leaving.cancel()
    assert (await staying).json() == DOCUMENT


async def test_what_failed_is_made_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, Any]:
        raise OSError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(api.app, "openapi", broken)
        assert (await api.client.get("/openapi.json")).status_code == 500
    assert (await api.client.get("/openapi.json")).json() == DOCUMENT


def test_it_is_made_once_with_its_objects_in_order() -> None:
    assert APP.openapi() is DOCUMENT
    names = list(DOCUMENT["components"]["schemas"])
    assert names == sorted(names)
