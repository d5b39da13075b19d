"""Which grammar a turn has, if any."""

from collections.abc import Callable, Sequence
from functools import partial

from server.chat.constraint.calls import TOOLS, call_grammar
from server.chat.constraint.compiler import GrammarCompiler
from server.chat.constraint.grammar import GrammarText, answer_grammar
from server.chat.prompt import Layout
from server.chat.tools import Toolbox
from server.chat.types import TurnRequest
from server.engine.constraint import Grammar
from server.errors import InvalidRequest


async def turn_grammar(
    compiler: GrammarCompiler,
    request: TurnRequest,
    toolbox: Toolbox,
    layout: Layout,
    stops: Sequence[str],
) -> Grammar | None:
    """What the answer has to be, from its first token on; stops: what may end it.

    Raises InvalidRequest for what cannot be enforced.
    """
    constraint = request.constraint
    if layout.calls is not None:
        ask = partial(call_grammar, toolbox, layout.calls, layout.phase)
        return await _compiled(compiler, partial(ask, stops=stops, answer=constraint))
    if constraint is None:
        return None
    text = partial(answer_grammar, constraint, layout.phase)
    return await compiler.compile(text, constraint.param)


async def _compiled(compiler: GrammarCompiler, text: Callable[..., GrammarText]) -> Grammar:
    """Schemas that are too much together are left out where no tool is strict about them."""
    try:
        return await compiler.compile(text, TOOLS)
    except InvalidRequest as error:
        if error.param != TOOLS:
            raise
    return await compiler.compile(partial(text, loose=True), TOOLS)
