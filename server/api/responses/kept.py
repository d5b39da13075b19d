"""A response while it is written: kept when it has ended, and added to its conversation."""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from server.api.errors import failure, unexpected
from server.api.responses.answer import response_usage
from server.api.responses.turn import Asked
from server.api.responses.writer import Event, ResponseWriter
from server.api.runs import Run
from server.api.stored import Conversations, Stored
from server.api.stored.documents import kept_answer
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, TurnEvent
from server.errors import NotFound, RequestError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Writing:
    """One response under way; kept: it is stored."""

    turn: Turn
    writer: ResponseWriter
    asked: Asked
    stored: Stored
    kept: bool

    async def events(self, events: AsyncIterator[TurnEvent]) -> AsyncIterator[Event]:
        """What to tell of the turn's events. Everything is kept before the last is told.

        Raises AnswerFailed.
        """
        for told in self.writer.begin():
            yield told
        if self.writer.queued and await self.turn.started():
            started = self.writer.start()
            self.keep()
            yield started
        async for event in events:
            if not isinstance(event, ChoiceEnd):
                for told in self.writer.push(event):
                    yield told
                continue
            last = list(self.writer.end(event, response_usage(self.turn, event)))
            await self._add_to_conversation()
            self.keep()
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
        self.keep()
        for told in last:
            yield told

    def left(self) -> None:
        """The client has left: what it has got so far is what the response is."""
        if not self.writer.ended:
            self.writer.break_off()
            self.keep()

    def cancel(self) -> None:
        self.writer.cancelled = True
        self.turn.cancel()

    async def run(self, run: Run) -> None:
        """Without a client."""
        async for told in self.all_events(self.turn.events()):
            run.add(told)

    def keep(self) -> None:
        if not self.kept:
            return
        response, earlier = self.writer.response, self.asked.earlier
        document = kept_answer(
            response.model_dump(),
            self.asked.items,
            response.output,
            earlier.previous,
            earlier.conversation,
        )
        self.stored.put("response", response.id, document)

    async def _add_to_conversation(self) -> None:
        """An answer that is broken off is no part of it; nor is one to what was deleted since."""
        conversation = self.asked.earlier.conversation
        if conversation is None or self.writer.response.status == "cancelled":
            return
        try:
            items = [*self.asked.items, *self.writer.response.output]
            await Conversations(self.stored).add(conversation, items)
        except NotFound:
            log.debug("a conversation was deleted while it was answered")
