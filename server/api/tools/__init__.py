"""Tools as requests bring them: what may be called, and whether something has to be."""

from server.api.tools.asked import Chosen, allowed_tools, required_tool, tools_at
from server.api.tools.fields import (
    CUSTOM,
    FUNCTION,
    CustomFields,
    FunctionFields,
    Grammar,
    ToolName,
    tool_kind,
)

__all__ = [
    "CUSTOM",
    "FUNCTION",
    "Chosen",
    "CustomFields",
    "FunctionFields",
    "Grammar",
    "ToolName",
    "allowed_tools",
    "required_tool",
    "tool_kind",
    "tools_at",
]
