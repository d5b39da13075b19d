"""The OpenAPI document: FastAPI's, and the events of streams, which it has no place for.

It takes about a second to make, which no stream may wait for: it is made on a thread.
"""

import asyncio
import json
from collections.abc import Callable
from threading import Lock
from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from server.api.answers import SCHEMAS
from server.api.reference import page

_MAKING = Lock()  # one text at a time


class Once:
    """A text that is made on a thread when it is first wanted, and kept."""

    def __init__(self, make: Callable[[], str]) -> None:
        self._make = make
        self._made: asyncio.Task[str] | None = None

    async def text(self) -> str:
        """Raises what making it does; it is tried again for the next who wants it."""
        if self._made is None:
            self._made = asyncio.create_task(asyncio.to_thread(self._made_aside))
            self._made.add_done_callback(self._ended)
        return await asyncio.shield(self._made)  # whoever leaves does not end it for the others

    def _made_aside(self) -> str:
        with _MAKING:
            return self._make()

    def _ended(self, task: "asyncio.Task[str]") -> None:
        if task.cancelled() or task.exception() is not None:
            self._made = None


class Documented(FastAPI):
    """An application whose document says what its streams send."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.document = Once(lambda: json.dumps(self.openapi(), separators=(",", ":")))
        self.page = Once(lambda: page(self.openapi()))

    def openapi(self) -> dict[str, Any]:
        """For one thread at a time; the first time it takes long."""
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
