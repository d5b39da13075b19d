"""The body of POST /v1/completions, field by field, as server/api/chat/request.py has them."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from server.api.constraint import ConstraintFields, asked_constraint
from server.api.fields import INTEGRAL, UNSUPPORTED, Refused, Wire
from server.api.priority import Priority
from server.api.prompts import Prompt, prompts
from server.api.sampling import (
    RefusedSamplingFields,
    SamplingFields,
    sampling_options,
    stop_strings,
    stop_token_ids,
)
from server.chat.completion import CompletionRequest
from server.chat.template import Template
from server.errors import InvalidRequest

_MAX_TOKENS = 16  # OpenAI's default


class HonouredCompletionFields(ConstraintFields, SamplingFields):
    """Fields that do what they say; null stands for the default of each."""

    model: str
    prompt: Prompt
    suffix: str | None = None
    max_tokens: Annotated[int, Field(ge=0, le=2**31 - 1), INTEGRAL] | None = None
    best_of: Annotated[int, Field(ge=1, le=128), INTEGRAL] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5), INTEGRAL] | None = None
    priority: Priority | None = None


class MeaninglessCompletionFields(Wire):
    """Fields that clients send and that change nothing here; their types are checked."""

    user: str | None = None


class RefusedCompletionFields(RefusedSamplingFields):
    """Fields that would change the answer and cannot be honoured, beside their neutral values."""

    prompt_embeds: Annotated[Any, Refused()] = None


class CompletionBody(
    RefusedCompletionFields, MeaninglessCompletionFields, HonouredCompletionFields
):
    """A raw completion request."""

    @property
    def returned(self) -> int:
        """Answers to each prompt."""
        return self.n or 1

    @property
    def written(self) -> int:
        """Answers to each prompt, of which the best are returned."""
        return self.best_of or self.returned

    @property
    def is_ranked(self) -> bool:
        return self.written > self.returned


def completion_request(
    body: CompletionBody, *, caller: str, vocab_size: int, template: Template, priority: int = 0
) -> CompletionRequest:
    """What the service is asked.

    Raises InvalidRequest for ids outside the vocabulary, for a suffix that cannot be written
    towards, and for a best_of that cannot be.
    """
    return CompletionRequest(
        caller=caller,
        prompts=tuple(_prompts(body, vocab_size, template)),
        choices=_written(body),
        ranked=body.is_ranked,
        max_tokens=_MAX_TOKENS if body.max_tokens is None else body.max_tokens,
        stop=stop_strings(body),
        stop_token_ids=stop_token_ids(body, vocab_size),
        ignore_eos=bool(body.ignore_eos),
        sampling=sampling_options(body, vocab_size),
        logprobs=body.logprobs,
        echo=bool(body.echo),
        constraint=asked_constraint(body),
        priority=priority,
        salt=body.cache_salt or "",
    )


def _written(body: CompletionBody) -> int:
    if body.written < body.returned:
        raise InvalidRequest(
            f"best_of is {body.best_of}, but n={body.returned} answers are to be returned",
            param="best_of",
        )
    if body.is_ranked and body.stream:
        raise InvalidRequest(
            "best_of above n cannot be streamed, since the best are known when all have ended",
            param="best_of",
            code=UNSUPPORTED,
        )
    return body.written


def _prompts(
    body: CompletionBody, vocab_size: int, template: Template
) -> Iterator[str | tuple[int, ...]]:
    for prompt in prompts(body.prompt, "prompt", vocab_size):
        yield _between(prompt, body, template) if body.suffix else prompt


def _between(prompt: str | tuple[int, ...], body: CompletionBody, template: Template) -> str:
    """The prompt that asks for what stands before the suffix."""
    if not isinstance(prompt, str) or body.echo:
        what = "beside echo" if body.echo else "behind a prompt of token ids"
        raise _no_suffix(f"suffix is not supported {what}")
    asked = template.between(prompt, body.suffix or "")
    if asked is None:
        raise _no_suffix("this model's template has no form for a suffix; leave it out")
    return asked


def _no_suffix(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="suffix", code=UNSUPPORTED)
