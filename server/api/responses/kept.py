"""A response while it is written: kept when it has ended, and added to its conversation."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from server.api.errors import failure, unexpected
from server.api.responses.answer import Response, response_usage
from server.api.responses.turn import Asked
from server.api.responses.writer import Event, ResponseWriter
from server.api.runs import Run
from server.api.stored import Conversations, Stored
from server.api.stored.documents import kept_answer
from server.api.streams import unbroken
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, TurnEvent
from server.errors import RequestError
from server.records import Document

log = logging.getLogger(__name__)


def response_document(response: Response, asked: Asked, stored: Stored) -> Document:
    """What is stored of a response as it is now."""
    earlier = asked.earlier
    document = kept_answer(
        response.model_dump(),
        asked.items,
        response.output,
        earlier.previous,
        earlier.conversation,
    )
    return document | {"server": stored.records.server}


@dataclass(frozen=True, slots=True)
class Writing:
    """One response under way. run: given where its events are stored too."""

    turn: Turn
    writer: ResponseWriter
    asked: Asked
    stored: Stored
    run: Run | None = None

    @property
    def id(self) -> str:
        return self.writer.response.id

    async def events(self, events: AsyncIterator[TurnEvent]) -> AsyncIterator[Event]:
        """What to tell of the turn's events. Everything is kept before the last is told.

        Raises AnswerFailed.
        """
        for told in self.writer.begin():
            yield told
        if self.writer.queued and await self.turn.started():
            started = self.writer.start()
            self.put()
            await self.written()
            yield started
        async for event in events:
            if not isinstance(event, ChoiceEnd):
                for told in self.writer.push(event):
                    yield told
                continue
            last = list(self.writer.end(event, response_usage(self.turn, event)))
            await unbroken(self._keep_ended(last))
            for told in last:
                yield told

    async def all_events(self, events: AsyncIterator[TurnEvent]) -> AsyncIterator[Event]:
        """The same, where a failure is told too."""
        try:
            async for told in self.events(events):
                yield told
        except RequestError as error:
            message = failure(error).detail.message
        except Exception:
            log.exception("a response failed")
            message = unexpected().detail.message
        else:
            return
        last = list(self.writer.fail(message))
        await unbroken(self._keep_failed(last))
        for told in last:
            yield told

    def left(self) -> None:
        """The client has left: what it has got so far is what the response is."""
        if not self.writer.ended:
            self.writer.break_off()
            self.put()

    def cancel(self) -> None:
        self.writer.cancelled = True
        self.turn.cancel()

    async def run_on(self, run: Run) -> None:
        """Without a client."""
        async for told in self.all_events(self.turn.events()):
            run.add(told)

    def put(self) -> None:
        """As it is now; does not wait."""
        response = self.writer.response
        if not response.store:
            return
        if self.run is not None and not self.writer.ended:
            self.stored.put("response.events", self.id, {"events": []})
        document = response_document(response, self.asked, self.stored)
        self.stored.put("response", response.id, document)

    async def written(self) -> None:
        """What was put is found by every server."""
        if self.writer.response.store:
            await self.stored.written("response.events", self.id)
            await self.stored.written("response", self.id)

    async def _keep_ended(self, last: list[Event]) -> None:
        """What goes wrong here takes nothing from the answer, which was given."""
        try:
            self._check_size(last)
            await self._add_to_conversation(last)
            await self._keep_events(last)
            self.put()
            await self.written()
        except Exception:
            log.exception("a response could not be kept")

    async def _keep_failed(self, last: list[Event]) -> None:
        self._check_size(last)
        await self._keep_events(last)
        self.put()
        await self.written()

    def _check_size(self, last: list[Event]) -> None:
        """Has the last event say so where the response has become too large to be stored."""
        response = self.writer.response
        if not response.store:
            return
        if not self.stored.fits(response_document(response, self.asked, self.stored)):
            log.warning("the response %s is too large to be stored", response.id)
            last[-1] = self.writer.outgrow(last[-1])

    async def _keep_events(self, last: Sequence[Event]) -> None:
        """So that they are there once the response is seen to have ended.

        Of those that are together too large there is the last one, which has the response.
        """
        if self.run is None:
            return
        events = {"events": [*self.run.events, *last], "whole": True}
        if not self.stored.fits(events):
            log.warning("the events of the response %s are too large to be stored", self.id)
            events = {"events": last[-1:], "whole": False}
        await self.stored.keep("response.events", self.id, events)

    async def _add_to_conversation(self, last: list[Event]) -> None:
        """An answer that is broken off is no part of it; the last event says where one is not."""
        conversation = self.asked.earlier.conversation
        if conversation is None or self.writer.response.status in {"cancelled", "failed"}:
            return
        items = [*self.asked.items, *self.writer.response.output]
        if not await Conversations(self.stored).add_answer(conversation, items):
            last[-1] = self.writer.left_out(last[-1])
