"""Tools in a chat's body: what may be called, and whether something has to be."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.fields import ListOf, Wire
from server.chat.types import Tool, ToolChoice
from server.errors import InvalidRequest

_MOST_TOOLS = 128
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class FunctionFields(Wire):
    """A function; without parameters it takes none."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolField(Wire):
    """A tool; of the kinds that OpenAI has, functions are known."""

    type: Literal["function"]
    function: FunctionFields


class NamedFunction(Wire):
    """A function by its name."""

    name: str


class NamedTool(Wire):
    """The one tool that is to be called, or one of those that may be."""

    type: Literal["function"]
    function: NamedFunction


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

    tools: Annotated[ListOf[ToolField], Field(max_length=_MOST_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | AllowedChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: (
        Annotated[ListOf[FunctionFields], Field(min_length=1, max_length=_MOST_TOOLS)] | None
    ) = None
    function_call: Literal["none", "auto"] | NamedFunction | None = None

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
        places = {f"functions.{i}": one for i, one in enumerate(body.functions)}
    else:
        places = {f"tools.{i}.function": one.function for i, one in enumerate(body.tools or ())}
    return tools_at(places)


def tools_at(places: dict[str, FunctionFields]) -> tuple[Tool, ...]:
    """By the request's fields that they came in. Raises InvalidRequest."""
    _check_names(places)
    return tuple(_tool(function, place) for place, function in places.items())


def _check_names(places: dict[str, FunctionFields]) -> None:
    seen: set[str] = set()
    for place, function in places.items():
        if function.name in seen:
            raise _fault(f"{place}.name", f"the name {function.name!r} is there twice")
        seen.add(function.name)


def _tool(function: FunctionFields, place: str) -> Tool:
    schema, param = function.parameters, f"{place}.parameters"
    _check_schema(schema or {}, param)
    return Tool(function.name, function.description or "", schema, bool(function.strict), param)


def _check_schema(schema: dict[str, Any], param: str) -> None:
    kind = schema.get("type", "object")
    if kind != "object":
        raise _fault(param, f"arguments are an object, but the schema's type is {str(kind)[:40]!r}")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(
        isinstance(one, dict | bool) for one in properties.values()
    ):
        raise _fault(param, "properties is not an object of schemas")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        raise _fault(param, "required is not a list of names")


def asked_choice(body: ToolFields, tools: Iterable[Tool]) -> ToolChoice:
    """Raises InvalidRequest for a choice of what is not there."""
    names = {tool.name for tool in tools}
    choice = body.function_call if body.legacy else body.tool_choice
    field = "function_call" if body.legacy else "tool_choice"
    _check_unused(body, names)
    match choice:
        case None:
            return ToolChoice()
        case "none" | "auto" | "required":
            return ToolChoice(choice)
        case NamedFunction(name=name):
            return required_tool(name, names, f"{field}.name")
        case NamedTool(function=function):
            return required_tool(function.name, names, f"{field}.function.name")
        case AllowedChoice(allowed_tools=allowed):
            place = f"{field}.allowed_tools.tools"
            chosen = {
                f"{place}.{number}.function.name": tool.function.name
                for number, tool in enumerate(allowed.tools)
            }
            return allowed_tools(allowed.mode, chosen, names)


def _check_unused(body: ToolFields, names: set[str]) -> None:
    """A choice among no tools: none and auto say nothing then, all others ask for too much."""
    if not names and body.tool_choice not in (None, "none", "auto"):
        raise _fault("tool_choice", "it asks for a call, but tools names none that could be made")
    if not body.legacy and body.function_call not in (None, "none", "auto"):
        raise _fault("function_call", "it asks for a call, but functions names none")


def required_tool(name: str, names: set[str], param: str) -> ToolChoice:
    """Raises InvalidRequest for one that is not there."""
    _check_known(name, names, param)
    return ToolChoice("required", (name,))


def allowed_tools(
    mode: Literal["auto", "required"], chosen: dict[str, str], names: set[str]
) -> ToolChoice:
    """chosen: names by the request's fields. Raises InvalidRequest for one that is not there."""
    for param, name in chosen.items():
        _check_known(name, names, param)
    return ToolChoice(mode, tuple(dict.fromkeys(chosen.values())))


def _check_known(name: str, names: set[str], param: str) -> None:
    if name not in names:
        raise _fault(param, f"there is no tool of the name {name[:64]!r}")


def _fault(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {message}", param=param, code="invalid_value")
