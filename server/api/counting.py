"""How many tokens a turn would read, without computing anything."""

from functools import partial

from server.chat.aside import aside
from server.chat.service import ServedModel
from server.chat.tools import toolbox
from server.chat.types import TurnRequest


async def count_tokens(model: ServedModel, request: TurnRequest) -> int:
    """Raises InvalidRequest for messages that the model has no form for."""
    size = sum(64 + len(message.content) for message in request.messages)
    return await aside(partial(_count, model, request), size)


def _count(model: ServedModel, request: TurnRequest) -> int:
    tools = toolbox(request.tools, request.tool_choice, parallel=request.parallel_tool_calls)
    layout = model.lay_out(
        request.caller, request.messages, request.thinking, tools, goes_on=request.goes_on
    )
    return sum(len(model.encode(segment)) for segment in layout.segments)
