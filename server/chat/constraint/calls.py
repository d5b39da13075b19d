"""What an answer beside tools has to be, as a grammar for llguidance."""

import json
from collections.abc import Iterator, Sequence

from server.chat.constraint import bodies
from server.chat.constraint.bodies import Body
from server.chat.constraint.grammar import BEFORE, GrammarText, grammar_text, quoted
from server.chat.thinking import Phase
from server.chat.tools import BETWEEN, HEAD, ExpectedCalls, Toolbox
from server.chat.types import Constraint

_PARAM = "tools"


def call_grammar(
    toolbox: Toolbox,
    expected: ExpectedCalls,
    phase: Phase,
    *,
    stops: Sequence[str] = (),
    answer: Constraint | None = None,
) -> GrammarText:
    """Of an answer that has to call tools, or may.

    One that has to begins with a call. One that may can hold any text, in which what follows the
    beginning of a call is held to its form; with `answer`, it is calls or what that says. stops:
    what may follow the last call, besides the end. Raises InvalidRequest for what cannot be
    enforced.
    """
    tails = [_tail(toolbox, number, expected) for number in range(len(toolbox.callable))]
    wanted = None if toolbox.required or answer is None else bodies.of(answer, in_chat=True)
    more = '("\\n" call)*' if toolbox.parallel else ""
    end = f"({' | '.join(map(quoted, stops))})?" if stops else ""
    if toolbox.required:
        start = f"SPACE? first {more} {end}"
    elif wanted is not None:
        start = f"SPACE? (answer | call {more} {end})"
    else:
        start = "(begun tail)* text" if toolbox.parallel else f"(text | begun tail {end})"
    parts = [part for body in (*tails, *([wanted] if wanted else ())) for part in body.parts]
    rules = (f"start: {BEFORE[phase]} {start}", *_call_rules(tails, expected))
    return grammar_text((*rules, *_text_rules(wanted, expected)), parts, _PARAM)


def _tail(toolbox: Toolbox, number: int, expected: ExpectedCalls) -> Body:
    """What follows the head in a call of one tool."""
    tool = toolbox.callable[number]
    arguments = bodies.of_arguments(tool, number)
    name = json.dumps(tool.name, ensure_ascii=False)[1:]  # its first quote belongs to the head
    close = quoted("}" + expected.form.after)
    rule = f"{quoted(name + BETWEEN)} {arguments.rule} {close}"
    return Body(rule, arguments.rules, arguments.parts)


def _call_rules(tails: Sequence[Body], expected: ExpectedCalls) -> Iterator[str]:
    """first: what is left of a call that the prompt may have begun."""
    before = expected.form.before.lstrip()
    left = before.removeprefix(expected.begun).lstrip()
    yield f"call: {quoted(before + HEAD)} tail"
    yield f"first: {quoted(left + HEAD)} tail"
    yield f"tail: {' | '.join(f'tail{number}' for number in range(len(tails)))}"
    for number, body in enumerate(tails):
        yield f"tail{number}: {body.rule}"
        yield from body.rules


def _text_rules(wanted: Body | None, expected: ExpectedCalls) -> Iterator[str]:
    if wanted is not None:
        yield f"answer: {wanted.rule}"
        yield from wanted.rules
    yield f"begun[lazy]: /(?s:.*){expected.form.begun}/"
    yield "text: TEXT"
