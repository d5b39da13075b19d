"""The OpenAPI document: FastAPI's, and the events of streams, which it has no place for."""

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from server.api.answers import SCHEMAS


class Documented(FastAPI):
    """An application whose document says what its streams send."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document["components"]["schemas"]
        if "ChatStream" not in schemas:
            document["components"]["schemas"] = dict(sorted((_of_streams() | schemas).items()))
        return document


def _of_streams() -> dict[str, Any]:
    """Imported and made when somebody asks: no answer needs them."""
    from server.api.chat.events import ChatStream
    from server.api.completions.events import TextStream
    from server.api.messages.events import MessageStream
    from server.api.responses.events import ResponseStream

    streams = (ChatStream, TextStream, MessageStream, ResponseStream)
    _, made = models_json_schema(
        [(stream, "serialization") for stream in streams], ref_template=f"{SCHEMAS}{{model}}"
    )
    schemas: dict[str, Any] = made["$defs"]
    return schemas
