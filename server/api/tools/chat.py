"""Tools in a chat's body."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from server.api.constraint import TextFormat
from server.api.fields import ListOf, Wire
from server.api.tools.asked import Chosen, allowed_tools, fault, required_tool, tools_at
from server.api.tools.fields import (
    CUSTOM,
    FUNCTION,
    CustomFields,
    FunctionFields,
    Grammar,
    ToolName,
    tool_kind,
)
from server.chat.types import Tool, ToolChoice
from server.errors import InvalidRequest

_MOST_TOOLS = 128


class FunctionTool(Wire):
    """A function."""

    type: Literal["function"]
    function: FunctionFields


class GrammarFormat(Wire):
    """A text of a grammar."""

    type: Literal["grammar"]
    grammar: Grammar


class CustomToolFields(Wire):
    """A tool that is called with a text, without format with any."""

    name: ToolName
    description: str | None = None
    format: Annotated[TextFormat | GrammarFormat, Field(discriminator="type")] | None = None

    @property
    def grammar(self) -> tuple[str, Grammar] | None:
        if isinstance(self.format, GrammarFormat):
            return "format.grammar", self.format.grammar
        return None


class CustomTool(Wire):
    """A custom tool."""

    type: Literal["custom"]
    custom: CustomToolFields


class Named(Wire):
    """A tool by its name."""

    name: str


class NamedFunction(Wire):
    """The one function that is to be called, or one of those that may be."""

    type: Literal["function"]
    function: Named


class NamedCustom(Wire):
    """The same of a custom tool."""

    type: Literal["custom"]
    custom: Named


NamedTool = Annotated[
    Annotated[NamedFunction, Tag(FUNCTION)] | Annotated[NamedCustom, Tag(CUSTOM)],
    Discriminator(tool_kind),
]


class AllowedTools(Wire):
    """The tools that may be called, and whether one has to be."""

    mode: Literal["auto", "required"]
    tools: Annotated[ListOf[NamedTool], Field(min_length=1)]


class AllowedChoice(Wire):
    """A choice that names several tools."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


class ToolFields(Wire):
    """What says which tools there are and how they are called; functions is the older form."""

    tools: (
        Annotated[
            ListOf[
                Annotated[
                    Annotated[FunctionTool, Tag(FUNCTION)] | Annotated[CustomTool, Tag(CUSTOM)],
                    Discriminator(tool_kind),
                ]
            ],
            Field(max_length=_MOST_TOOLS),
        ]
        | None
    ) = None
    tool_choice: (
        Literal["none", "auto", "required"] | NamedFunction | NamedCustom | AllowedChoice | None
    ) = None
    parallel_tool_calls: bool | None = None
    functions: (
        Annotated[ListOf[FunctionFields], Field(min_length=1, max_length=_MOST_TOOLS)] | None
    ) = None
    function_call: Literal["none", "auto"] | Named | None = None

    @property
    def legacy(self) -> bool:
        """Asked in the older form, to be answered in it."""
        return self.functions is not None


def asked_tools(body: ToolFields) -> tuple[Tool, ...]:
    """Raises InvalidRequest for what no tool can be made of."""
    if body.functions is not None and (body.tools or body.tool_choice is not None):
        message = "functions and tools are two forms of one thing; use tools alone"
        raise InvalidRequest(message, param="functions", code="invalid_value")
    if body.functions is not None:
        return tools_at({f"functions.{i}": one for i, one in enumerate(body.functions)})
    return tools_at(dict(_placed(tool, f"tools.{i}") for i, tool in enumerate(body.tools or ())))


def _placed(
    tool: FunctionTool | CustomTool, place: str
) -> tuple[str, FunctionFields | CustomFields]:
    match tool:
        case FunctionTool(function=function):
            return f"{place}.function", function
        case CustomTool(custom=custom):
            return f"{place}.custom", custom


def asked_choice(body: ToolFields, tools: Sequence[Tool]) -> ToolChoice:
    """Raises InvalidRequest for a choice of what is not there."""
    choice = body.function_call if body.legacy else body.tool_choice
    field = "function_call" if body.legacy else "tool_choice"
    _check_unused(body, tools)
    match choice:
        case None:
            return ToolChoice()
        case "none" | "auto" | "required":
            return ToolChoice(choice)
        case Named(name=name):
            return required_tool(Chosen(name, f"{field}.name"), tools)
        case NamedFunction() | NamedCustom():
            return required_tool(_chosen(choice, field), tools)
        case AllowedChoice(allowed_tools=allowed):
            place = f"{field}.allowed_tools.tools"
            chosen = [_chosen(one, f"{place}.{number}") for number, one in enumerate(allowed.tools)]
            return allowed_tools(allowed.mode, chosen, tools)


def _chosen(named: NamedFunction | NamedCustom, place: str) -> Chosen:
    match named:
        case NamedFunction(function=function):
            return Chosen(function.name, f"{place}.function.name")
        case NamedCustom(custom=custom):
            return Chosen(custom.name, f"{place}.custom.name", custom=True)


def _check_unused(body: ToolFields, tools: Sequence[Tool]) -> None:
    """A choice among no tools: none and auto say nothing then, all others ask for too much."""
    if not tools and body.tool_choice not in (None, "none", "auto"):
        raise fault("tool_choice", "it asks for a call, but tools names none that could be made")
    if not body.legacy and body.function_call not in (None, "none", "auto"):
        raise fault("function_call", "it asks for a call, but functions names none")
