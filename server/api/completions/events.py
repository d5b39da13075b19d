"""The chunks of a raw completion's stream, as the OpenAPI document has them.

CompletionWriter writes them without these types, which cost time; tests hold it to them.
"""

from typing import Annotated, Literal

from server.api.chat.events import DONE, StreamError, UnnamedEvent
from server.api.chat.usage import Usage
from server.api.completions.answer import TextReason
from server.api.logprobs import TextLogprobs
from server.api.outgoing import OPTIONAL, ClosedModel, JsonOf


class TextChunkChoice(ClosedModel):
    """More of one of the answers; its last chunk has finish_reason."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: TextReason | None


class TextChunkChoiceWithIds(TextChunkChoice):
    """token_ids: of this chunk's text, a stop token included. The prompt's come in the first."""

    token_ids: list[int]
    prompt_token_ids: list[int] | None


class TextChunk(ClosedModel):
    """A piece of a raw completion.

    usage: where it was asked for, null but in the last chunk, which has no choices.
    """

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChunkChoiceWithIds | TextChunkChoice]
    system_fingerprint: str
    usage: Annotated[Usage | None, OPTIONAL] = None


class TextStream(UnnamedEvent):
    """An event of a raw completion's stream; an error is the last one, as else is `[DONE]`."""

    data: DONE | Annotated[str, JsonOf(TextChunk | StreamError)]
