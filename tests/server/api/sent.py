"""Events of streams, held against the OpenAPI document and the types of the official SDKs."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from anthropic.types import ErrorResponse, RawMessageStreamEvent
from jsonschema import Draft202012Validator
from openai.types import Completion
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from tests.server.api.document import DOCUMENT, answer_schema

CHATS, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
REPLAY = f"{RESPONSES}/{{response_id}}"
OFFICIAL: Mapping[str, TypeAdapter[Any]] = {
    CHATS: TypeAdapter(ChatCompletionChunk),
    COMPLETIONS: TypeAdapter(Completion),
    RESPONSES: TypeAdapter(ResponseStreamEvent),
    MESSAGES: TypeAdapter(RawMessageStreamEvent | ErrorResponse),
}
# What servers of OpenAI's API have added to it.
ADDED = {
    "prompt_token_ids",
    "choices.token_ids",
    "choices.prompt_token_ids",
    "choices.delta.reasoning_content",
}
# What OpenAI's own answers have and this version of its SDK does not.
UNTYPED = {
    "response.store",
    "name",  # of a function whose arguments are done
    "item.status",  # of a custom call
    "response.output.status",
}


def documented(text: str, path: str, method: str = "post") -> list[dict[str, Any]]:
    """What the events of a stream say, each as the document has it."""
    said = []
    for event in _events(text):
        _validator(path, method).validate(event)
        if event["data"] != "[DONE]":
            said.append(json.loads(event["data"]))
            _content_validator(path, method).validate(said[-1])
            assert event.get("event") == said[-1].get("type")
    return said


def _events(text: str) -> Iterator[dict[str, str]]:
    for part in text.removesuffix("\n\n").split("\n\n"):
        yield dict(line.split(": ", 1) for line in part.split("\n"))  # type: ignore[misc]


@cache
def _validator(path: str, method: str) -> Draft202012Validator:
    return Draft202012Validator(answer_schema(path, method, "text/event-stream"))


@cache
def _content_validator(path: str, method: str) -> Draft202012Validator:
    content = content_schema(path, method)
    return Draft202012Validator({**content, "components": DOCUMENT["components"]})


def content_schema(path: str, method: str = "post") -> Mapping[str, Any]:
    """Of what an event of a stream says as JSON."""
    schema = answer_schema(path, method, "text/event-stream")
    name = schema["$ref"].rpartition("/")[2]
    data = DOCUMENT["components"]["schemas"][name]["properties"]["data"]
    (content,) = (
        one["contentSchema"] for one in data.get("anyOf", [data]) if "contentSchema" in one
    )
    found: Mapping[str, Any] = content
    return found


def is_official(said: Mapping[str, Any], path: str) -> None:
    """Fails where the SDK misses a field, or does not know one."""
    if said.get("type") == "ping":
        return  # the SDK passes over it without a type
    parsed = OFFICIAL[path].validate_python(said, strict=True)
    unknown = set(unknown_fields(parsed)) - ADDED - UNTYPED
    assert not unknown, unknown


def unknown_fields(value: Any, place: str = "") -> Iterator[str]:
    """Of a parsed answer."""
    if isinstance(value, list):
        for one in value:
            yield from unknown_fields(one, place)
    if isinstance(value, BaseModel):
        yield from (f"{place}{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name), f"{place}{name}.")
