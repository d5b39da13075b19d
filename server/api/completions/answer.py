"""A raw completion on the wire, whole and as server-sent events."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from server.api.chat.answer import fingerprint
from server.api.chat.usage import Usage, usage
from server.api.completions.request import CompletionBody
from server.api.logprobs import TextLogprobs, text_logprobs
from server.api.outgoing import NEVER_NULL, ClosedModel
from server.api.streams import DONE, TextFrames, frame
from server.chance import fresh_hex
from server.chat.completion_turn import Completion, CompletionEvent, EchoDelta
from server.chat.served import ServedModel
from server.chat.tokens import TextToken
from server.chat.types import ChoiceEnd, EndReason, TextDelta

Delta = TextDelta | EchoDelta
TextReason = Literal["stop", "length"]


class TextChoice(ClosedModel):
    """One of the answers."""

    index: int
    text: str
    logprobs: TextLogprobs | None
    finish_reason: Annotated[TextReason | None, NEVER_NULL]


class TextChoiceWithIds(TextChoice):
    """token_ids: of the answer, a stop token included."""

    token_ids: list[int]
    prompt_token_ids: Annotated[list[int] | None, NEVER_NULL]


class TextCompletion(ClosedModel):
    """The answers to all prompts: those to the first one, those to the second one, and so on."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[TextChoiceWithIds | TextChoice]
    usage: Usage
    system_fingerprint: str


@dataclass(slots=True)
class _Part:
    """What is known of a choice and was not sent yet; `ids` are those of its answer.

    tokens: of the text; the first `echoed` are the prompt's.
    """

    text: str = ""
    tokens: list[TextToken] = field(default_factory=list)
    echoed: int = 0
    ids: list[int] = field(default_factory=list)
    reason: TextReason | None = None

    def add(self, event: Delta) -> None:
        self.text += event.text
        self.tokens += event.tokens
        if isinstance(event, TextDelta):
            self.ids += (token.id for token in event.tokens)
        else:
            self.echoed = len(self.tokens)

    @property
    def likelihood(self) -> float:
        """The mean logarithm over the answer's tokens."""
        told = [token.logprob.logprob for token in self.tokens[self.echoed :] if token.logprob]
        return sum(told) / len(told) if told else 0.0


class CompletionWriter:
    """Writes one completion for the request `body`."""

    def __init__(self, body: CompletionBody, completion: Completion, model: ServedModel) -> None:
        self._body = body
        self._completion = completion
        self._token_bytes = model.tokenizer.token_bytes
        self._written = len(completion.prompt_ids) * body.written
        self._head: dict[str, Any] = {
            "id": f"cmpl-{fresh_hex(16)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model.id,
            "system_fingerprint": fingerprint(model),
        }
        self._begun: set[int] = set()
        self._frames: dict[int, TextFrames] = {}  # by choice

    async def whole(self) -> TextCompletion:
        """Waits for the end of every choice that is written. Raises AnswerFailed."""
        parts = [_Part() for _ in range(self._written)]
        ends: list[ChoiceEnd] = []
        async for event in self._completion.events():
            match event:
                case TextDelta(choice) | EchoDelta(choice):
                    parts[choice].add(event)
                case ChoiceEnd(choice, reason):
                    parts[choice].reason = _reason(reason)
                    ends.append(event)
        return TextCompletion(
            **self._head,
            choices=[self._choice(number, part) for number, part in enumerate(self._best(parts))],
            usage=usage(self._completion, ends),
        )

    def _best(self, parts: list[_Part]) -> list[_Part]:
        """Of the choices for each prompt those to return, the likeliest first if there are more."""
        if not self._body.is_ranked:
            return parts
        ranked = (
            sorted(
                parts[first : first + self._body.written],
                key=lambda part: part.likelihood,
                reverse=True,
            )
            for first in range(0, len(parts), self._body.written)
        )
        return [part for group in ranked for part in group[: self._body.returned]]

    async def frames(self, events: AsyncIterator[CompletionEvent]) -> AsyncGenerator[bytes]:
        """Parts of the stream: a chunk for every piece of text, one for the end of every choice."""
        part = b""
        ends: list[ChoiceEnd] = []
        async for event in events:
            match event:
                case TextDelta(choice, text) | EchoDelta(choice, text):
                    if self._shows_tokens:
                        said = _Part()
                        said.add(event)
                        part = frame(self._chunk(choice, said))
                    elif text:
                        part = self._text_chunk(choice, text)
                case ChoiceEnd(choice, reason):
                    ends.append(event)
                    part = frame(self._chunk(choice, _Part(reason=_reason(reason))))
            if part and len(ends) < self._written:
                yield part
                part = b""
        if self._body.wants_usage:
            used = usage(self._completion, ends).model_dump()
            part += frame(self._head | {"choices": [], "usage": used})
        yield part + DONE

    @property
    def _shows_tokens(self) -> bool:
        return bool(self._body.return_token_ids) or self._body.logprobs is not None

    def _text_chunk(self, number: int, text: str) -> bytes:
        frames = self._frames.get(number)
        if frames is None:
            frames = self._frames[number] = TextFrames(self._chunk(number, _Part()), "text")
        return frames.frame(text)

    def _chunk(self, number: int, part: _Part) -> dict[str, Any]:
        rest: dict[str, Any] = {"usage": None} if self._body.wants_usage else {}
        choice = self._choice(number, part).model_dump()
        return self._head | {"choices": [choice]} | rest

    def _choice(self, number: int, part: _Part) -> TextChoice:
        found = TextChoice(
            index=number,
            text=part.text,
            logprobs=self._logprobs(part),
            finish_reason=part.reason,
        )
        if not self._body.return_token_ids:
            return found
        first = number not in self._begun
        self._begun.add(number)
        prompt = list(self._completion.prompt_ids[number // self._body.returned])
        return TextChoiceWithIds(
            **dict(found),
            token_ids=part.ids,
            prompt_token_ids=prompt if first else None,
        )

    def _logprobs(self, part: _Part) -> TextLogprobs | None:
        if self._body.logprobs is None:
            return None
        return text_logprobs(part.tokens, self._token_bytes)


def _reason(end: EndReason) -> TextReason:
    """A time limit ends an answer early just as a length limit does; nothing is called."""
    return "stop" if end == "stop" else "length"
