"""How many tokens a turn would read, without computing anything."""

import asyncio

from server.chat.service import ServedModel
from server.chat.tools import toolbox
from server.chat.types import TurnRequest

_LARGE = 2_000  # characters up to which the event loop does it: about a millisecond


async def count_tokens(model: ServedModel, request: TurnRequest) -> int:
    """Raises InvalidRequest for messages that the model has no form for."""
    size = sum(64 + len(message.content) for message in request.messages)
    if size > _LARGE:
        return await asyncio.to_thread(_count, model, request)
    return _count(model, request)


def _count(model: ServedModel, request: TurnRequest) -> int:
    tools = toolbox(request.tools, request.tool_choice, parallel=request.parallel_tool_calls)
    layout = model.lay_out(request.caller, request.messages, request.thinking, tools)
    return sum(len(model.encode(segment)) for segment in layout.segments)
