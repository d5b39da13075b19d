"""What was said before a request that names it instead of sending it."""

from dataclasses import dataclass

from server.api.items import Item, ItemReader
from server.api.stored.documents import Stored
from server.chat.served import ServedModel
from server.errors import InvalidRequest, NotFound
from server.records import Document

_PREVIOUS = "previous_response_id"


@dataclass(frozen=True, slots=True)
class Earlier:
    """What a request goes on from: an answer's id, or a conversation's."""

    previous: str | None = None
    conversation: str | None = None

    def check(self) -> None:
        """Raises InvalidRequest for both."""
        if self.previous is not None and self.conversation is not None:
            message = f"{_PREVIOUS} and conversation cannot be given together; leave one out."
            raise InvalidRequest(message, param=_PREVIOUS, code="invalid_value")


async def read_history(
    stored: Stored, earlier: Earlier, reader: ItemReader, model: ServedModel
) -> None:
    """Everything that was said before, for this model to go on from.

    Raises NotFound, and InvalidRequest for two pasts, or for the past of another model's session.
    """
    earlier.check()
    if earlier.conversation is not None:
        document = await stored.find("conversation", earlier.conversation, "conversation")
        _check_model(document, model)
        reader.read(document["items"], "conversation")
    elif earlier.previous is not None:
        for items in await _chain(stored, earlier.previous):
            reader.read(items, _PREVIOUS)


def _check_model(document: Document, model: ServedModel) -> None:
    """What a session was made of goes on from its states, which are one model's."""
    made = document.get("model", model.fingerprint)
    if made != model.fingerprint:
        message = (
            f"This conversation was made of a session of another model ({made}) than "
            f"{model.id!r} ({model.fingerprint}); ask that one, or send its messages instead."
        )
        raise InvalidRequest(message, param="conversation", code="model_mismatch")


async def _chain(stored: Stored, id: str) -> list[list[Item]]:
    """Of an answer and all that it went on from, the oldest first."""
    parts: list[list[Item]] = []
    previous: str | None = id
    while previous is not None:
        document = await stored.answer(previous, _PREVIOUS)
        _check_ended(document, previous)
        parts += [document["output"], document["input"]]
        previous = document["previous"]
        if document["conversation"] is not None:
            parts.append(await _before(stored, document))
    return parts[::-1]


def _check_ended(document: Document, id: str) -> None:
    if document["answer"].get("status") in {"queued", "in_progress"}:
        message = f"The response {id!r} is still being written."
        raise InvalidRequest(message, param=_PREVIOUS, code="invalid_value")


async def _before(stored: Stored, document: Document) -> list[Item]:
    """What stands in its conversation before an answer's own items."""
    conversation = await stored.find("conversation", document["conversation"], _PREVIOUS)
    items: list[Item] = conversation["items"]
    own = {item["id"] for item in document["input"] + document["output"]}
    at = next((number for number, item in enumerate(items) if item["id"] in own), None)
    if at is None:
        message = "What this answer goes on from is no longer in its conversation."
        raise NotFound(message, param=_PREVIOUS, code="response_not_found")
    return items[:at]
