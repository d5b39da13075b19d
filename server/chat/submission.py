"""What a turn asks of the engine: its pieces, its choices, and where these end."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from server.chance import fresh_hex
from server.chat.constraint import TOOLS
from server.chat.prompt import Layout
from server.chat.ready import Ready
from server.chat.served import ServedModel
from server.chat.stops import TextWatcher
from server.chat.types import TurnRequest
from server.engine.constraint import Grammar
from server.engine.messages import Branch, Place, Sampling, Submit


def submission(
    model: ServedModel,
    request: TurnRequest,
    ready: Ready,
    sampling: Sampling,
    watchers: Sequence[TextWatcher],
    max_tokens: int,
) -> Submit:
    return Submit(
        request=fresh_hex(12),
        start=ready.resumption.snapshot,
        pieces=tuple(ready.pieces),
        branches=tuple(_branches(sampling, ready.grammar, watchers)),
        max_tokens=max_tokens,
        stop_ids=_stop_ids(model, request),
        logprobs=request.logprobs,
        place=Place(request.caller, request.priority),
        form=_form(request),
    )


def watchers_of(
    model: ServedModel, request: TurnRequest, layout: Layout, min_tokens: int
) -> Iterator[TextWatcher]:
    """One for each choice."""
    for _ in range(request.choices):
        yield TextWatcher(
            model.tokenizer,
            stops_of(model, request),
            request.stop,
            layout.phase,
            trim=not layout.begun,
            calls=layout.calls,
            min_tokens=min_tokens,
        )


def stops_of(model: ServedModel, request: TurnRequest) -> tuple[str, ...]:
    """Where an answer has to be something, that alone says where it ends."""
    free = request.constraint is None and not request.ignore_eos
    return model.template.stops if free else ()


def _form(request: TurnRequest) -> str:
    """Whatever else has a form are calls."""
    return request.constraint.param if request.constraint is not None else TOOLS


def _stop_ids(model: ServedModel, request: TurnRequest) -> frozenset[int]:
    ends = () if request.ignore_eos else (model.tokenizer.eos_id,)
    return frozenset((*ends, *request.stop_token_ids))


def _branches(
    sampling: Sampling, grammar: Grammar | None, watchers: Sequence[TextWatcher]
) -> Iterator[Branch]:
    for number, watcher in enumerate(watchers):
        matcher = grammar.matcher() if grammar is not None else None
        yield Branch(replace(sampling, seed=sampling.seed + number), watcher, matcher)
