"""What an answer has to be, as a grammar for llguidance.

A grammar covers everything that the model writes from the first token of its answer on: thoughts
that were begun for it, the white space that templates leave to it, the text that is asked for.
Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.chat.constraint import bodies
from server.chat.constraint.bodies import Body
from server.chat.constraint.culprit import culprit
from server.chat.constraint.problems import Place
from server.chat.thinking import Phase
from server.chat.types import Constraint
from server.errors import InvalidRequest

_SPACE = "SPACE: /[ \\n]{1,2}/"
_THOUGHT = "thought[lazy]: /(?s:.*)<\\/think>/"
_TEXT = "TEXT: /(?s:.*)/"
# What stands before the text that is asked for, by what the prompt has left to the model.
BEFORE: Mapping[Phase, str] = {
    "start": "",
    "answer": "",
    "closing": '">"',
    "opened": "thought",
    "thought": "thought",
}


@dataclass(frozen=True, slots=True)
class GrammarText:
    """A grammar in llguidance's JSON form; param: the request's field to blame for it.

    alone: what it asks for without what may stand before it, for which a text has to be possible
    too.
    """

    source: str
    param: str
    alone: tuple["Alone", ...] = ()


@dataclass(frozen=True, slots=True)
class Alone:
    """A grammar of a body and nothing else, and the field to blame for it."""

    body: Body
    param: str

    @property
    def source(self) -> str:
        return grammar_source((f"start: {self.body.rule}", *self.body.rules), self.body.parts)

    def blamed(self, compiles: Callable[[str], bool]) -> str:
        """What of it is to blame, as exactly as can be said; compiles: whether a grammar can."""
        asked, again = self.body.asked, self.body.again
        if asked is None or again is None:
            return self.param

        def usable(schema: Any) -> bool:
            try:
                return compiles(Alone(again(schema), self.param).source)
            except InvalidRequest:
                return False

        return str(culprit(asked, Place(self.param), usable))


def answer_grammar(constraint: Constraint, phase: Phase | None = None) -> GrammarText:
    """Of an answer that is what `constraint` says, once the thoughts of `phase` are over.

    An answer in a chat never begins with white space: what the model writes of it there belongs
    to the template. Without a phase, as in raw completions, the text is the whole answer. A model
    that has been left the choice to think does not. Raises InvalidRequest for what cannot be
    enforced.
    """
    body = bodies.of(constraint, in_chat=phase is not None)
    before = "" if phase is None else f"{BEFORE[phase]} SPACE?"
    rules = (f"start: {before} {body.rule}", *body.rules)
    source = grammar_source(rules, body.parts)
    return GrammarText(source, constraint.param, (Alone(body, constraint.param),))


def quoted(text: str) -> str:
    """A text as a literal in Lark."""
    return json.dumps(text, ensure_ascii=False)


def grammar_source(rules: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> str:
    """The first rule is `start`; names of terminals that are used are defined."""
    used = " ".join(rules)
    terminals = {"SPACE": _SPACE, "thought": _THOUGHT, "TEXT": _TEXT}
    lark = "\n".join([*rules, *(rule for name, rule in terminals.items() if name in used)])
    return json.dumps({"grammars": [{"lark_grammar": lark}, *parts]})
