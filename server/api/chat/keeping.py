"""Chat completions that are kept, and what chats go on from instead of being sent it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.api.chat.answer import Collected, Head, completion
from server.api.chat.request import ChatCompletionRequest
from server.api.items import Item, ItemReader, item_id, message_items
from server.api.stored import Conversations, Earlier, Stored, read_history
from server.api.stored.documents import kept_answer
from server.api.streams import unbroken
from server.chat.served import ServedModel
from server.chat.tokens import TokenBytes
from server.chat.turn import Turn
from server.chat.types import ChoiceEnd, Message, TurnEvent
from server.errors import NotFound


@dataclass(frozen=True, slots=True)
class Past:
    """What was said before a request's own messages."""

    stored: Stored
    earlier: Earlier
    messages: tuple[Message, ...]


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

    The first choice is the one that can be gone on from. new: the request's own messages.
    """

    body: ChatCompletionRequest
    past: Past
    new: Sequence[Message]
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
                await unbroken(self._keep())
            yield event

    async def _keep(self) -> None:
        given = message_items(self.new, lambda kind, n: item_id(kind, self.head.id, "i", n))
        said = [self._found[0].said]
        output = message_items(said, lambda kind, n: item_id(kind, self.head.id, "o", n))
        await self._add_to_conversation([*given, *output])
        if self.body.store:
            whole = completion(
                self.turn, self.head, self._found, self.token_bytes, legacy=self.body.legacy
            )
            whole.metadata = self.body.metadata or {}
            earlier = self.past.earlier
            document = kept_answer(
                whole.model_dump(), given, output, earlier.previous, earlier.conversation
            )
            document["messages"] = [_stored_message(one) for one in self.body.messages]
            await self.past.stored.keep("chat.completion", self.head.id, document)

    async def _add_to_conversation(self, items: list[Item]) -> None:
        """Not to one that was deleted since."""
        conversation = self.past.earlier.conversation
        if conversation is None:
            return
        try:
            await Conversations(self.past.stored).add(conversation, items)
        except NotFound:
            return


def _stored_message(message: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = message.model_dump(exclude_none=True)
    parts = None
    if isinstance(message.content, list):
        parts = [{"type": "text", "text": part.text} for part in message.content]
    text = None if message.refuses else message.text or None
    return {**dumped, "content": text, "content_parts": parts}
