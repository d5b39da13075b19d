"""Chat completions that are kept, and what chats go on from instead of being sent it."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.api.chat.answer import Collected, Head, completion
from server.api.chat.request import ChatCompletionRequest
from server.api.items import Item, ItemReader, item_id, message_items
from server.api.stored import Conversations, Earlier, Stored, read_history
from server.api.stored.documents import kept_answer, too_large_to_store
from server.api.streams import unbroken
from server.chat.served import ServedModel
from server.chat.tokens import TokenBytes
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, Message, TurnEvent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Past:
    """What was said before a request's own messages."""

    stored: Stored
    earlier: Earlier
    messages: tuple[Message, ...]

    def items(self, body: ChatCompletionRequest, new: Sequence[Message], id: str) -> list[Item]:
        """Those of a request's own messages, which will be kept behind what was said before.

        id: the answer's. Raises InvalidRequest where there is no room for them.
        """
        items = message_items(new, lambda kind, n: item_id(kind, id, "i", n))
        if self.earlier.conversation is not None:
            Conversations(self.stored).check_room(self.earlier.conversation, items)
        if body.store:
            asked = {"input": items, "messages": _stored_messages(body)}
            if not self.stored.fits(asked):
                raise too_large_to_store()
        return items


async def read_past(body: ChatCompletionRequest, stored: Stored, model: ServedModel) -> Past:
    """Raises NotFound, and InvalidRequest for two pasts, or another model's."""
    earlier = Earlier(body.previous_response_id, body.conversation)
    reader = ItemReader()
    await read_history(stored, earlier, reader, model)
    return Past(stored, earlier, tuple(reader.messages))


def kept(body: ChatCompletionRequest) -> bool:
    """Something is to be kept of the answer."""
    return bool(body.store) or body.conversation is not None


@dataclass(slots=True)
class Keeping:
    """Hears an answer and keeps it before its last event is told.

    The first choice is the one that can be gone on from. given: the items of the request's own
    messages.
    """

    body: ChatCompletionRequest
    past: Past
    given: list[Item]
    turn: Turn
    head: Head
    token_bytes: TokenBytes | None
    _found: list[Collected] = field(default_factory=list)

    async def hear(self, events: AsyncIterator[TurnEvent]) -> AsyncIterator[TurnEvent]:
        """The same events."""
        self._found = [Collected() for _ in range(self.body.n or 1)]
        async for event in events:
            self._found[event.choice].add(event)
            if isinstance(event, ChoiceEnd) and all(one.end for one in self._found):
                await unbroken(self._kept())
            yield event

    async def _kept(self) -> None:
        """What goes wrong here takes nothing from the answer, which was given."""
        try:
            await self._keep()
        except Exception:
            log.exception("a chat completion could not be kept")

    async def _keep(self) -> None:
        said = [self._found[0].said]
        output = message_items(said, lambda kind, n: item_id(kind, self.head.id, "o", n))
        earlier = self.past.earlier
        if earlier.conversation is not None:
            conversations = Conversations(self.past.stored)
            await conversations.add_answer(earlier.conversation, [*self.given, *output])
        if self.body.store:
            whole = completion(
                self.turn, self.head, self._found, self.token_bytes, legacy=self.body.legacy
            )
            whole.metadata = self.body.metadata or {}
            document = kept_answer(
                whole.model_dump(), self.given, output, earlier.previous, earlier.conversation
            )
            document["messages"] = _stored_messages(self.body)
            if not await self.past.stored.keep("chat.completion", self.head.id, document):
                log.warning("the chat completion %s is too large to be stored", self.head.id)


def _stored_messages(body: ChatCompletionRequest) -> list[dict[str, Any]]:
    return [_stored_message(one) for one in body.messages]


def _stored_message(message: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = message.model_dump(exclude_none=True)
    parts = None
    if isinstance(message.content, list):
        parts = [{"type": "text", "text": part.text} for part in message.content]
    text = None if message.refuses else message.text or None
    return {**dumped, "content": text, "content_parts": parts}
