"""What chats and raw completions ask about sampling and stopping, in the same words."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from server.api.fields import (
    INTEGRAL,
    AtMost,
    ListOf,
    Penalty,
    Refused,
    ShortString,
    Signed64,
    Unit,
    Whole,
    Wire,
)
from server.chat.types import SamplingOptions
from server.errors import InvalidRequest

_LONGEST_ID = 10  # digits; more cannot be a token id


class StreamOptions(Wire):
    """include_obfuscation is taken without meaning: nothing is padded."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class SamplingFields(Wire):
    """Fields that do what they say; null stands for the default of each."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Field(ge=1, le=128), INTEGRAL] | None = None
    stop: ShortString | Annotated[ListOf[ShortString], Field(max_length=16)] | None = None
    stop_token_ids: Annotated[ListOf[Whole], Field(max_length=128)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Unit | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1), INTEGRAL] | None = None
    min_p: Unit | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] | None = None
    repeat_penalty: Annotated[float, Field(ge=0.01, le=10)] | None = None
    penalty_decay: Unit | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Field(ge=-100, le=100)]], AtMost(1024)] | None
    ) = None
    seed: Signed64 | None = None
    min_tokens: Annotated[int, Field(ge=0, le=2**31 - 1), INTEGRAL] | None = None
    ignore_eos: bool | None = None
    bad_words: Annotated[ListOf[ShortString], Field(max_length=128)] | None = None
    allowed_token_ids: Annotated[ListOf[Whole], Field(min_length=1, max_length=2**17)] | None = None
    return_token_ids: bool | None = None
    cache_salt: ShortString | None = None

    @property
    def wants_usage(self) -> bool:
        """At the end of a stream."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class RefusedSamplingFields(Wire):
    """Ways of sampling and reading that other servers have, beside their neutral values."""

    use_beam_search: Annotated[Any, Refused(neutral=(False,))] = None
    include_stop_str_in_output: Annotated[Any, Refused(neutral=(False,))] = None
    prompt_logprobs: Annotated[Any, Refused()] = None
    truncate_prompt_tokens: Annotated[Any, Refused()] = None
    n_predict: Annotated[Any, Refused(neutral=(-1,))] = None
    mirostat: Annotated[Any, Refused(neutral=(0,))] = None
    dynatemp_range: Annotated[Any, Refused(neutral=(0,))] = None
    dry_multiplier: Annotated[Any, Refused(neutral=(0,))] = None
    xtc_probability: Annotated[Any, Refused(neutral=(0,))] = None
    top_n_sigma: Annotated[Any, Refused(neutral=(-1,))] = None
    samplers: Annotated[Any, Refused()] = None


def stop_strings(body: SamplingFields) -> tuple[str, ...]:
    """Whether one or several were given."""
    return (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())


def stop_token_ids(body: SamplingFields, vocab_size: int) -> tuple[int, ...]:
    """Raises InvalidRequest for ids outside the vocabulary."""
    ids = tuple(body.stop_token_ids or ())
    check_ids(ids, "stop_token_ids", vocab_size)
    return ids


def check_ids(ids: Sequence[int], param: str, vocab_size: int) -> None:
    """Raises InvalidRequest for the first of a list that is outside the vocabulary."""
    for number, token in enumerate(ids):
        if not 0 <= token < vocab_size:
            raise _not_a_token(str(token), f"{param}.{number}", vocab_size)


def sampling_options(body: SamplingFields, vocab_size: int) -> SamplingOptions:
    """Raises InvalidRequest for ids outside the vocabulary."""
    repetition = body.repetition_penalty
    allowed = body.allowed_token_ids
    check_ids(allowed or (), "allowed_token_ids", vocab_size)
    return SamplingOptions(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=None if body.top_k is None else max(body.top_k, 0),
        min_p=body.min_p,
        typical_p=body.typical_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        repetition_penalty=body.repeat_penalty if repetition is None else repetition,
        penalty_decay=body.penalty_decay,
        seed=body.seed,
        logit_bias=_logit_bias(body, vocab_size),
        min_tokens=body.min_tokens or 0,
        bad_words=tuple(body.bad_words or ()),
        allowed_ids=None if allowed is None else tuple(allowed),
    )


def _logit_bias(body: SamplingFields, vocab_size: int) -> tuple[tuple[int, float], ...]:
    biases: dict[int, float] = {}
    for text, bias in (body.logit_bias or {}).items():
        biases[_token_id(text, vocab_size)] = bias
    return tuple(biases.items())


def _token_id(text: str, vocab_size: int) -> int:
    digits = text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID
    if not digits or int(text) >= vocab_size:
        raise _not_a_token(text, "logit_bias", vocab_size)
    return int(text)


def _not_a_token(text: str, param: str, vocab_size: int) -> InvalidRequest:
    return InvalidRequest(
        f"{param} names the token id {text[:20]!r}, but this model's ids go from 0 to "
        f"{vocab_size - 1}",
        param=param,
        code="invalid_value",
    )
