"""Constrained answers: what a request asks for, checked and made a grammar, and its compiling.

`answer_grammar` and `call_grammar` make the text of a grammar, in which a constraint begins with
the answer, after thoughts, or once a call was begun. A GrammarCompiler makes it ready for a
model's vocabulary; each branch of a turn takes a matcher of it, which the engine advances.
"""

from server.chat.constraint.calls import TOOLS, call_grammar
from server.chat.constraint.compiler import GrammarCompiler
from server.chat.constraint.grammar import GrammarText, answer_grammar
from server.chat.constraint.problems import endless
from server.chat.constraint.schema import checked_schema
from server.chat.constraint.turn import turn_grammar

__all__ = [
    "TOOLS",
    "GrammarCompiler",
    "GrammarText",
    "answer_grammar",
    "call_grammar",
    "checked_schema",
    "endless",
    "turn_grammar",
]
