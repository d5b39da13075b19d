"""Responses that go on without their clients, on this server or on another one.

Who asks another server than the one that writes a response finds what is stored of it. There it
leaves the wish that the response be ended, which the writing server looks for.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fastapi import Request

from server.api.answers import limited
from server.api.context import Context
from server.api.limits import Place
from server.api.responses.answer import OPEN, as_lost
from server.api.responses.kept import Writing
from server.api.responses.writer import Event
from server.api.runs import Run
from server.api.stored import Stored
from server.errors import ArchiveUnavailable, InvalidRequest
from server.records import Document

_LOOK_S = 1.0
_PATIENCE_S = 15.0


async def begin(writing: Writing, request: Request, context: Context, *, streamed: bool) -> Run:
    """Lets a response run, once every server can find it."""
    run = Run(writing.cancel)
    written = replace(writing, run=run if streamed else None)
    end = limited(request, writing.turn, context.request_timeout_s)
    place: Place = request.state.place

    async def work() -> None:
        watching = asyncio.create_task(_watch(writing))
        try:
            await written.run_on(run)
        finally:
            watching.cancel()
            end()
            place.leave()

    place.kept = True
    written.put()
    context.runs.begin(writing.stored.owner, writing.id, run, work())
    await written.written()
    return run


async def _watch(writing: Writing) -> None:
    """Ends it when another server was asked to."""
    stored, asked = writing.stored, None
    while asked is None:
        await asyncio.sleep(_LOOK_S)
        with suppress(ArchiveUnavailable):
            asked = await stored.records.get(stored.owner, "response.cancel", writing.id)
    writing.cancel()


async def answer_now(id: str, stored: Stored, context: Context) -> dict[str, Any]:
    """A response as it is now. Raises NotFound."""
    here = context.runs.find(stored.owner, id) is not None
    document = await stored.find("response", id)
    if _ended(document) or here or await _elsewhere(document, stored):
        return _answer(document)
    document = await stored.find("response", id)  # which may have ended meanwhile
    return _answer(document) if _ended(document) else as_lost(_answer(document))


async def end(id: str, stored: Stored, context: Context) -> None:
    """Have it ended, wherever it runs. Raises NotFound, and ArchiveUnavailable."""
    run = context.runs.find(stored.owner, id)
    if run is not None:
        run.cancel()
        await run.end()
    elif await _goes_on(id, stored):
        await stored.keep("response.cancel", id, {})
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while await _goes_on(id, stored):
                    await asyncio.sleep(_LOOK_S / 4)
        except TimeoutError as error:
            message = "The server that writes this response does not answer."
            raise ArchiveUnavailable(message) from error
        finally:
            with suppress(ArchiveUnavailable):
                await stored.delete("response.cancel", id)


async def events_again(
    id: str, stored: Stored, context: Context, start: int
) -> AsyncIterator[Event]:
    """Of a response that was begun as a stream in the background: from `start` on.

    Those of another server come once it has ended. Raises InvalidRequest for any other response.
    """
    run = context.runs.find(stored.owner, id)
    if run is not None:
        return run.follow(start)
    document = await stored.records.get(stored.owner, "response.events", id)
    if document is None or not (document["events"] or await _goes_on(id, stored)):
        message = "Only a response that was begun with background and stream can be streamed again."
        raise InvalidRequest(message, param="stream", code="invalid_value")
    if not document.get("whole", True):
        message = "The events of this response were too large to be kept; ask without stream."
        raise InvalidRequest(message, param="stream", code="invalid_value")
    return _kept_events(id, stored, document, start)


async def _kept_events(
    id: str, stored: Stored, document: Document, start: int
) -> AsyncIterator[Event]:
    while not document["events"] and await _goes_on(id, stored):
        await asyncio.sleep(_LOOK_S)
        document = await stored.find("response.events", id)
    for event in document["events"]:
        if event["sequence_number"] >= start:
            yield event


async def _goes_on(id: str, stored: Stored) -> bool:
    """On another server."""
    document = await stored.find("response", id)
    return not _ended(document) and await _elsewhere(document, stored)


async def _elsewhere(document: Document, stored: Stored) -> bool:
    return await stored.records.elsewhere(document.get("server", stored.records.server))


def _ended(document: Document) -> bool:
    return document["answer"]["status"] not in OPEN


def _answer(document: Document) -> dict[str, Any]:
    answer: dict[str, Any] = document["answer"]
    return answer
