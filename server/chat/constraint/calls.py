"""What an answer beside tools has to be, as a grammar for llguidance."""

import json
from collections.abc import Iterator, Sequence

from server.chat.constraint import bodies
from server.chat.constraint.bodies import Body
from server.chat.constraint.grammar import (
    BEFORE,
    Alone,
    GrammarText,
    grammar_source,
    quoted,
)
from server.chat.thinking import Phase
from server.chat.tools import BETWEEN, HEAD, ExpectedCalls, Toolbox
from server.chat.types import Constraint

TOOLS = "tools"


def call_grammar(
    toolbox: Toolbox,
    expected: ExpectedCalls,
    phase: Phase,
    *,
    stops: Sequence[str] = (),
    answer: Constraint | None = None,
    loose: bool = False,
) -> GrammarText:
    """Of an answer that has to call tools, or may.

    One that has to begins with a call. One that may can hold any text, in which what follows the
    beginning of a call is held to its form; with `answer`, it is calls or what that says. stops:
    what may follow the last call, besides the end. loose: arguments of tools that are not strict
    are any object. Raises InvalidRequest for what cannot be enforced.
    """
    arguments = [
        bodies.of_arguments(tool, number, loose=loose)
        for number, tool in enumerate(toolbox.callable)
    ]
    wanted = None if toolbox.required or answer is None else bodies.of(answer, in_chat=True)
    more = '("\\n" call)*' if toolbox.parallel else ""
    end = f"({' | '.join(map(quoted, stops))})?" if stops else ""
    if toolbox.required:
        start = f"SPACE? first {more} {end}"
    elif wanted is not None:
        start = f"SPACE? (answer | call {more} {end})"
    else:
        start = "(begun tail)* text" if toolbox.parallel else f"(text | begun tail {end})"
    asked = [*arguments, *([wanted] if wanted else ())]
    rules = [f"start: {BEFORE[phase]} {start}", *_call_rules(toolbox, arguments, expected)]
    source = grammar_source(
        (*rules, *_text_rules(wanted, expected)), [part for body in asked for part in body.parts]
    )
    return GrammarText(source, TOOLS, tuple(Alone(body, body.param or TOOLS) for body in asked))


def _call_rules(
    toolbox: Toolbox, arguments: Sequence[Body], expected: ExpectedCalls
) -> Iterator[str]:
    """first: what is left of a call that the prompt may have begun. tail: what follows the head."""
    before = expected.form.before.lstrip()
    left = before.removeprefix(expected.begun).lstrip()
    yield f"call: {quoted(before + HEAD)} tail"
    yield f"first: {quoted(left + HEAD)} tail"
    yield f"tail: {' | '.join(f'tail{number}' for number in range(len(arguments)))}"
    close = quoted("}" + expected.form.after)
    for number, (tool, body) in enumerate(zip(toolbox.callable, arguments, strict=True)):
        name = json.dumps(tool.name, ensure_ascii=False)[1:]  # its first quote is the head's
        yield f"tail{number}: {quoted(name + BETWEEN)} {body.rule} {close}"
        yield from body.rules


def _text_rules(wanted: Body | None, expected: ExpectedCalls) -> Iterator[str]:
    if wanted is not None:
        yield f"answer: {wanted.rule}"
        yield from wanted.rules
    yield f"begun[lazy]: /(?s:.*){expected.form.begun}/"
    yield "text: TEXT"
