"""From what requests say of tools to the tools of a turn, and to the choice among them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from server.api.tools.fields import CustomFields, FunctionFields
from server.chat.tools import custom_tool
from server.chat.types import Constraint, Tool, ToolChoice
from server.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Chosen:
    """A tool that a request names, and the field in which it does."""

    name: str
    param: str
    custom: bool = False


def tools_at(places: Mapping[str, FunctionFields | CustomFields]) -> tuple[Tool, ...]:
    """By the request's fields that they came in. Raises InvalidRequest."""
    _check_names(places)
    return tuple(_tool(given, place) for place, given in places.items())


def _check_names(places: Mapping[str, FunctionFields | CustomFields]) -> None:
    seen: set[str] = set()
    for place, given in places.items():
        if given.name in seen:
            raise fault(f"{place}.name", f"the name {given.name!r} is there twice")
        seen.add(given.name)


def _tool(given: FunctionFields | CustomFields, place: str) -> Tool:
    if not isinstance(given, FunctionFields):
        return custom_tool(given.name, given.description or "", _form(given, place), place)
    schema, param = given.parameters, f"{place}.parameters"
    _check_schema(schema or {}, param)
    return Tool(given.name, given.description or "", schema, bool(given.strict), param)


def _form(given: CustomFields, place: str) -> Constraint | None:
    if given.grammar is None:
        return None
    field, grammar = given.grammar
    return Constraint(grammar.syntax, grammar.definition, f"{place}.{field}.definition")


def _check_schema(schema: dict[str, Any], param: str) -> None:
    kind = schema.get("type", "object")
    if kind != "object":
        raise fault(param, f"arguments are an object, but the schema's type is {str(kind)[:40]!r}")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(
        isinstance(one, dict | bool) for one in properties.values()
    ):
        raise fault(param, "properties is not an object of schemas")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        raise fault(param, "required is not a list of names")


def required_tool(chosen: Chosen, tools: Iterable[Tool]) -> ToolChoice:
    """Raises InvalidRequest for one that is not there."""
    return allowed_tools("required", [chosen], tools)


def allowed_tools(
    mode: Literal["auto", "required"], chosen: Iterable[Chosen], tools: Iterable[Tool]
) -> ToolChoice:
    """Raises InvalidRequest for one that is not there."""
    known = {(tool.name, tool.custom) for tool in tools}
    names: dict[str, None] = {}
    for one in chosen:
        if (one.name, one.custom) not in known:
            kind = "custom tool" if one.custom else "function"
            raise fault(one.param, f"there is no {kind} of the name {one.name[:64]!r}")
        names[one.name] = None
    return ToolChoice(mode, tuple(names))


def fault(param: str, message: str) -> InvalidRequest:
    """Of a tool."""
    return InvalidRequest(f"{param}: {message}", param=param, code="invalid_value")
