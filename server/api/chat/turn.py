"""From the body of a chat completion request to the turn it asks for."""

from collections.abc import Mapping, Sequence

from server.api.chat.message import conversation
from server.api.chat.request import ChatCompletionRequest, ThinkingFields
from server.api.constraint import asked_constraint
from server.api.fields import UNSUPPORTED
from server.api.going_on import check_answer_begun
from server.api.sampling import sampling_options, stop_strings, stop_token_ids
from server.api.tools.chat import asked_choice, asked_tools
from server.chat.types import Message, Thinking, TurnRequest
from server.errors import InvalidRequest

_ENABLE = "chat_template_kwargs.enable_thinking"
EFFORTS: Mapping[str, Thinking] = {
    "none": "none",
    "minimal": "none",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}


def turn_request(
    body: ChatCompletionRequest,
    *,
    caller: str,
    vocab_size: int,
    thinks: bool,
    before: Sequence[Message] = (),
    priority: int = 0,
) -> TurnRequest:
    """What the chat service is asked; before: what the messages go on from.

    Raises InvalidRequest for ids outside the vocabulary, for tools and results that do not fit
    together, for answers that are to be two things, where the model does not think, for a wish
    that it should, and for an answer that cannot go on from the last message.
    """
    tools = asked_tools(body)
    _check_going_on(body)
    asked = TurnRequest(
        caller=caller,
        messages=(*before, *conversation(body.messages, before)),
        choices=body.n or 1,
        max_tokens=_max_tokens(body),
        stop=stop_strings(body),
        stop_token_ids=stop_token_ids(body, vocab_size),
        sampling=sampling_options(body, vocab_size),
        thinking=asked_thinking(body, thinks=thinks),
        logprobs=_logprobs(body),
        tools=tools,
        tool_choice=asked_choice(body, tools),
        # The older form has a place for one call only.
        parallel_tool_calls=body.parallel_tool_calls is not False and not body.legacy,
        ignore_eos=bool(body.ignore_eos),
        token_ids=bool(body.return_token_ids),
        constraint=asked_constraint(body),
        priority=priority,
        salt=body.cache_salt or "",
        goes_on=bool(body.continue_final_message),
        echo=bool(body.echo),
    )
    if asked.goes_on:
        check_answer_begun(asked)
    return asked


def _check_going_on(body: ChatCompletionRequest) -> None:
    body.check_going_on()
    if body.continue_final_message:
        for name in ("store", "conversation", "previous_response_id"):
            if getattr(body, name):
                raise _unsupported(name, "beside continue_final_message")
    elif body.add_generation_prompt is False:
        raise _unsupported("add_generation_prompt", "as false but beside continue_final_message")
    elif body.echo:
        raise _unsupported("echo", "but beside continue_final_message")
    if body.echo and body.logprobs:
        raise _unsupported("logprobs", "beside echo")


def _unsupported(param: str, where: str) -> InvalidRequest:
    message = f"{param} is not supported {where}"
    return InvalidRequest(message, param=param, code=UNSUPPORTED)


def _max_tokens(body: ChatCompletionRequest) -> int | None:
    given = [limit for limit in (body.max_tokens, body.max_completion_tokens) if limit is not None]
    return min(given, default=None)


def _logprobs(body: ChatCompletionRequest) -> int | None:
    """How many alternatives to report; None reports nothing."""
    if body.logprobs:
        return body.top_logprobs or 0
    if body.top_logprobs:
        raise InvalidRequest(
            "top_logprobs has a meaning only where logprobs is true; set it, or leave both out",
            param="top_logprobs",
            code="invalid_value",
        )
    return None


def asked_thinking(body: ThinkingFields, *, thinks: bool) -> Thinking | None:
    """None leaves it to the template. Raises InvalidRequest for what it has no form for."""
    wishes = _wishes(body)
    if len(wishes) == 2 and len({wish == "none" for wish in wishes.values()}) == 2:
        raise InvalidRequest(
            f"{' and '.join(wishes)} contradict each other; leave one of them out",
            param=_ENABLE,
            code="invalid_value",
        )
    return allowed_thinking(*next(iter(wishes.items()), ("", None)), thinks=thinks)


def allowed_thinking(param: str, wish: Thinking | None, *, thinks: bool) -> Thinking | None:
    """A wish that came in the field `param`, as asked_thinking has it."""
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


def _wishes(body: ThinkingFields) -> dict[str, Thinking]:
    """What is asked for by which parameter, the one that says more first."""
    wishes: dict[str, Thinking] = {}
    if body.reasoning_effort is not None:
        wishes["reasoning_effort"] = EFFORTS[body.reasoning_effort]
    options = body.chat_template_kwargs
    if options is not None and options.enable_thinking is not None:
        wishes[_ENABLE] = "on" if options.enable_thinking else "none"
    return wishes
