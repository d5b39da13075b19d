"""From the body of a chat completion request to the turn it asks for."""

from collections.abc import Mapping

from server.api.chat_request import ChatCompletionRequest, ChatMessage
from server.api.fields import UNSUPPORTED
from server.chat.types import Message, Role, SamplingOptions, Thinking, TurnRequest
from server.errors import InvalidRequest

_LONGEST_ID = 10  # digits; more cannot be a token id
_ENABLE = "chat_template_kwargs.enable_thinking"
_EFFORTS: Mapping[str, Thinking] = {
    "none": "none",
    "minimal": "none",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def turn_request(
    body: ChatCompletionRequest, *, caller: str, vocab_size: int, thinks: bool
) -> TurnRequest:
    """What the chat service is asked.

    Raises InvalidRequest for ids outside the vocabulary, and where the model does not think,
    for a wish that it should.
    """
    return TurnRequest(
        caller=caller,
        messages=tuple(map(_message, body.messages)),
        choices=body.n or 1,
        max_tokens=_max_tokens(body),
        stop=_stop(body),
        stop_token_ids=_stop_token_ids(body, vocab_size),
        sampling=_sampling(body, vocab_size),
        thinking=_thinking(body, thinks=thinks),
    )


def _message(message: ChatMessage) -> Message:
    role: Role = "system" if message.role == "developer" else message.role
    return Message(role, message.text)


def _max_tokens(body: ChatCompletionRequest) -> int | None:
    given = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    return min(given, default=None)


def _stop(body: ChatCompletionRequest) -> tuple[str, ...]:
    return (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())


def _stop_token_ids(body: ChatCompletionRequest, vocab_size: int) -> tuple[int, ...]:
    ids = tuple(body.stop_token_ids or ())
    for number, token in enumerate(ids):
        if not 0 <= token < vocab_size:
            raise _not_a_token(str(token), f"stop_token_ids.{number}", vocab_size)
    return ids


def _thinking(body: ChatCompletionRequest, *, thinks: bool) -> Thinking | None:
    wishes = _wishes(body)
    if len(wishes) == 2 and len({wish == "none" for wish in wishes.values()}) == 2:
        raise InvalidRequest(
            f"{' and '.join(wishes)} contradict each other; leave one of them out",
            param=_ENABLE,
            code="invalid_value",
        )
    param, wish = next(iter(wishes.items()), ("", None))
    if thinks or wish is None:
        return wish
    if wish != "none":
        raise InvalidRequest(
            f"{param} asks for thinking, which this model's chat template has no form for; "
            "leave it out",
            param=param,
            code=UNSUPPORTED,
        )
    return None


def _wishes(body: ChatCompletionRequest) -> dict[str, Thinking]:
    """What is asked for by which parameter, the one that says more first."""
    wishes: dict[str, Thinking] = {}
    if body.reasoning_effort is not None:
        wishes["reasoning_effort"] = _EFFORTS[body.reasoning_effort]
    options = body.chat_template_kwargs
    if options is not None and options.enable_thinking is not None:
        wishes[_ENABLE] = "on" if options.enable_thinking else "none"
    return wishes


def _sampling(body: ChatCompletionRequest, vocab_size: int) -> SamplingOptions:
    repetition = body.repetition_penalty
    return SamplingOptions(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=None if body.top_k is None else max(body.top_k, 0),
        min_p=body.min_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        repetition_penalty=body.repeat_penalty if repetition is None else repetition,
        penalty_decay=body.penalty_decay,
        seed=body.seed,
        logit_bias=_logit_bias(body, vocab_size),
    )


def _logit_bias(body: ChatCompletionRequest, vocab_size: int) -> tuple[tuple[int, float], ...]:
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
