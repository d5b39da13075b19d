"""What an answer has to be, as a grammar for llguidance.

A grammar covers everything that the model writes from the first token of its answer on: thoughts
that were begun for it, the white space that templates leave to it, the text that is asked for.
Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.chat.constraint import bodies
from server.chat.constraint.bodies import Body
from server.chat.thinking import Phase
from server.chat.types import Constraint, Tool

_SPACE = "SPACE: /[ \\n]{1,2}/"
_THOUGHT = "thought[lazy]: /(?s:.*)<\\/think>/"
_TEXT = "TEXT: /(?s:.*)/"
# What stands before the text that is asked for, by what the prompt has left to the model.
_BEFORE: Mapping[Phase, str] = {
    "start": "",
    "answer": "",
    "closing": '">"',
    "opened": "thought",
    "thought": "thought",
}


@dataclass(frozen=True, slots=True)
class GrammarText:
    """A grammar in llguidance's JSON form; param: the request's field to blame for it.

    alone: grammars of what it asks for without what may stand before it, for which a text has to
    be possible too.
    """

    source: str
    param: str
    alone: tuple[str, ...] = ()


def answer_grammar(constraint: Constraint, phase: Phase | None = None) -> GrammarText:
    """Of an answer that is what `constraint` says, once the thoughts of `phase` are over.

    An answer in a chat never begins with white space: what the model writes of it there belongs
    to the template. Without a phase, as in raw completions, the text is the whole answer. A model
    that has been left the choice to think does not. Raises InvalidRequest for what cannot be
    enforced.
    """
    body = bodies.of(constraint, in_chat=phase is not None)
    before = "" if phase is None else f"{_BEFORE[phase]} SPACE?"
    rules = (f"start: {before} {body.rule}", *body.rules)
    alone = (_alone(body),) if before else ()
    return GrammarText(_source(rules, body.parts), constraint.param, alone)


def call_grammar(
    tools: Sequence[Tool],
    phase: Phase,
    *,
    before: str,
    after: str,
    many: bool = True,
    lazy: bool = False,
    param: str = "tools",
) -> GrammarText:
    """Of an answer that calls one of `tools`, or with `many` several, on lines of their own.

    A call is `{"name": …, "arguments": {…}}` between `before` and `after`, with arguments that
    fit the tool's parameters. lazy: any text may come first, or be all there is, and only what
    follows `before` is held to the form; otherwise the answer begins with a call. To allow some
    tools only, give those. Raises InvalidRequest for parameters that cannot be enforced, naming
    `{param}.{number}.function.parameters`.
    """
    arguments = [
        bodies.of_arguments(tool, f"arguments{number}", f"{param}.{number}.function.parameters")
        for number, tool in enumerate(tools)
    ]
    calls = [_call(*both) for both in zip(tools, arguments, strict=True)]
    rules = [f"call: {' | '.join(f'call{number}' for number in range(len(calls)))}"]
    for number, call in enumerate(calls):
        rules += [f"call{number}: {call.rule}", *call.rules]
    opening, closing = _quoted(before), _quoted(after)
    one = f"{opening} call {closing}"
    start = f"{_BEFORE[phase]} SPACE? {one}" + (f' ("\\n" {one})*' if many else "")
    if lazy:
        held = f"prose SPACE? call {closing}"
        rules += [f"prose[lazy]: /(?s:.*)/ {_quoted(before.strip())}", "tail: TEXT"]
        start = f"{_BEFORE[phase]} " + (f"({held})* tail" if many else f"(tail | {held})")
    parts = [part for call in calls for part in call.parts]
    source = _source((f"start: {start}", *rules), parts)
    return GrammarText(source, param, tuple(map(_alone, arguments)))


def _quoted(text: str) -> str:
    """A text as a literal in Lark."""
    return json.dumps(text, ensure_ascii=False)


def _call(tool: Tool, arguments: Body) -> Body:
    name = json.dumps(tool.name, ensure_ascii=False)
    head = _quoted(f'{{"name": {name}, "arguments": ')
    return Body(f'{head} {arguments.rule} "}}"', arguments.rules, arguments.parts)


def _alone(body: Body) -> str:
    return _source((f"start: {body.rule}", *body.rules), body.parts)


def _source(rules: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> str:
    used = " ".join(rules)
    terminals = {"SPACE": _SPACE, "thought": _THOUGHT, "TEXT": _TEXT}
    lark = "\n".join([*rules, *(rule for name, rule in terminals.items() if name in used)])
    return json.dumps({"grammars": [{"lark_grammar": lark}, *parts]})
