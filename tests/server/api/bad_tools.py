"""What can be wrong with the tools of a request, in the form of test_bad_input's table."""

from typing import Any

USER = {"role": "user", "content": "Hi"}


def function(name: Any = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **fields}}


def custom(name: Any = "f", **fields: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **fields}}


def grammar(definition: Any, syntax: Any = "lark") -> dict[str, Any]:
    return {"type": "grammar", "grammar": {"definition": definition, "syntax": syntax}}


def tools(*given: Any, **fields: Any) -> dict[str, Any]:
    return {"tools": list(given), **fields}


def call(id: str = "a", name: str = "f", arguments: Any = "{}") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def talk(*messages: Any) -> dict[str, Any]:
    return {"messages": [USER, *messages]}


def called(*calls: Any, content: Any = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": "4", "tool_call_id": id, **fields}


def schema(parameters: Any) -> dict[str, Any]:
    return tools(function(parameters=parameters))


NAME = "tools.0.function.name"
PARAMETERS = "tools.0.function.parameters"

# what is wrong: (fields of an otherwise good request, the parameter at fault, the error's code)
TOOL_FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "tools as an object": ({"tools": function()}, "tools", "invalid_type"),
    "a tool as text": (tools("f"), "tools.0", "invalid_type"),
    "a tool without type": (
        tools({"function": {"name": "f"}}),
        "tools.0.type",
        "missing_parameter",
    ),
    "a tool without function": (
        tools({"type": "function"}),
        "tools.0.function",
        "missing_parameter",
    ),
    "a custom tool without custom": (
        tools({"type": "custom", "name": "f"}),
        "tools.0.custom",
        "missing_parameter",
    ),
    "a custom tool of an unknown format": (
        tools(custom(format={"type": "json"})),
        "tools.0.custom.format.type",
        "invalid_value",
    ),
    "a custom tool of an unknown syntax": (
        tools(custom(format=grammar("a", "gbnf"))),
        "tools.0.custom.format.grammar.syntax",
        "invalid_value",
    ),
    "a custom tool of an empty grammar": (
        tools(custom(format=grammar(""))),
        "tools.0.custom.format.grammar.definition",
        "invalid_value",
    ),
    "a custom tool of a function's name": (
        tools(function(), custom()),
        "tools.1.custom.name",
        "invalid_value",
    ),
    "web search as a tool": (tools({"type": "web_search"}), "tools.0.type", "invalid_value"),
    "129 tools": (tools(*(function(f"f{i}") for i in range(129))), "tools", "invalid_value"),
    "a tool without name": (
        tools({"type": "function", "function": {}}),
        NAME,
        "missing_parameter",
    ),
    "a name of nothing": (tools(function("")), NAME, "invalid_value"),
    "a name with a space": (tools(function("get weather")), NAME, "invalid_value"),
    "a name with a dot": (tools(function("get.weather")), NAME, "invalid_value"),
    "a name with a line feed": (tools(function("f\n")), NAME, "invalid_value"),
    "a name in other letters": (tools(function("wetter_für")), NAME, "invalid_value"),
    "a name of 65 letters": (tools(function("f" * 65)), NAME, "invalid_value"),
    "a name as a number": (tools(function(1)), NAME, "invalid_type"),
    "a name twice": (
        tools(function("f"), function("g"), function("f")),
        "tools.2.function.name",
        "invalid_value",
    ),
    "a description as a list": (
        tools(function(description=["x"])),
        "tools.0.function.description",
        "invalid_type",
    ),
    "strict as text": (tools(function(strict="yes")), "tools.0.function.strict", "invalid_type"),
    "parameters as a list": (schema([]), PARAMETERS, "invalid_type"),
    "parameters as text": (schema("{}"), PARAMETERS, "invalid_type"),
    "parameters of a string": (schema({"type": "string"}), PARAMETERS, "invalid_value"),
    "parameters of two types": (schema({"type": ["object"]}), PARAMETERS, "invalid_value"),
    "properties as a list": (
        schema({"type": "object", "properties": []}),
        PARAMETERS,
        "invalid_value",
    ),
    "a property as text": (
        schema({"type": "object", "properties": {"a": "string"}}),
        PARAMETERS,
        "invalid_value",
    ),
    "required as text": (schema({"type": "object", "required": "a"}), PARAMETERS, "invalid_value"),
    "an unknown choice": (
        tools(function(), tool_choice="maybe"),
        "tool_choice",
        "invalid_value",
    ),
    "a choice as a number": (tools(function(), tool_choice=1), "tool_choice", "invalid_value"),
    "a choice without function": (
        tools(function(), tool_choice={"type": "function"}),
        "tool_choice.function",
        "missing_parameter",
    ),
    "a choice of a custom tool that is a function": (
        tools(function(), tool_choice=custom()),
        "tool_choice.custom.name",
        "invalid_value",
    ),
    "a choice of a function that is a custom tool": (
        tools(custom(), tool_choice=function()),
        "tool_choice.function.name",
        "invalid_value",
    ),
    "a choice that is not there": (
        tools(function(), tool_choice=function("g")),
        "tool_choice.function.name",
        "invalid_value",
    ),
    "a call required of no tool": ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
    "a tool chosen of none": ({"tool_choice": function()}, "tool_choice", "invalid_value"),
    "a call required of empty tools": (
        {"tools": [], "tool_choice": "required"},
        "tool_choice",
        "invalid_value",
    ),
    "no tools allowed": (
        tools(
            function(),
            tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        ),
        "tool_choice.allowed_tools.tools",
        "invalid_value",
    ),
    "an allowed tool that is not there": (
        tools(
            function(),
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [function(), function("g")]},
            },
        ),
        "tool_choice.allowed_tools.tools.1.function.name",
        "invalid_value",
    ),
    "an unknown mode of allowed tools": (
        tools(
            function(),
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "none", "tools": [function()]},
            },
        ),
        "tool_choice.allowed_tools.mode",
        "invalid_value",
    ),
    "parallel calls as text": (
        tools(function(), parallel_tool_calls="no"),
        "parallel_tool_calls",
        "invalid_type",
    ),
    "no functions": ({"functions": []}, "functions", "invalid_value"),
    "a function's name with a space": (
        {"functions": [{"name": "a b"}]},
        "functions.0.name",
        "invalid_value",
    ),
    "functions beside tools": (
        tools(function(), functions=[{"name": "g"}]),
        "functions",
        "invalid_value",
    ),
    "a function that is not there": (
        {"functions": [{"name": "f"}], "function_call": {"name": "g"}},
        "function_call.name",
        "invalid_value",
    ),
    "a function chosen of none": (
        {"function_call": {"name": "g"}},
        "function_call",
        "invalid_value",
    ),
    "a required function": (
        {"functions": [{"name": "f"}], "function_call": "required"},
        "function_call",
        "invalid_value",
    ),
    "calls as an object": (
        talk({"role": "assistant", "content": None, "tool_calls": call()}),
        "messages.1.tool_calls",
        "invalid_type",
    ),
    "a call without id": (
        talk(called({"type": "function", "function": {"name": "f", "arguments": ""}})),
        "messages.1.tool_calls.0.id",
        "missing_parameter",
    ),
    "a call without arguments": (
        talk(called({"id": "a", "type": "function", "function": {"name": "f"}})),
        "messages.1.tool_calls.0.function.arguments",
        "missing_parameter",
    ),
    "a call's arguments as an object": (
        talk(called(call(arguments={}))),
        "messages.1.tool_calls.0.function.arguments",
        "invalid_type",
    ),
    "a custom call without input": (
        talk(called({"id": "a", "type": "custom", "custom": {"name": "f"}})),
        "messages.1.tool_calls.0.custom.input",
        "missing_parameter",
    ),
    "two calls of one id": (
        talk(called(call(), call())),
        "messages.1.tool_calls",
        "invalid_value",
    ),
    "calls of the user": (
        {"messages": [{**USER, "tool_calls": [call()]}]},
        "messages.0.tool_calls",
        "invalid_value",
    ),
    "an answer of null without calls": (
        talk({"role": "assistant", "content": None}),
        "messages.1.content",
        "invalid_type",
    ),
    "an answer of nothing without calls": (
        talk({"role": "assistant", "tool_calls": []}),
        "messages.1.content",
        "missing_parameter",
    ),
    "a result without id": (
        talk(called(call()), {"role": "tool", "content": "4"}),
        "messages.2.tool_call_id",
        "missing_parameter",
    ),
    "a result of an unknown call": (
        talk(called(call()), result("b")),
        "messages.2.tool_call_id",
        "invalid_value",
    ),
    "a result before its call": (
        talk(result(), called(call())),
        "messages.1.tool_call_id",
        "invalid_value",
    ),
    "a result of null": (
        talk(called(call()), result(content=None)),
        "messages.2.content",
        "invalid_type",
    ),
    "a function's result without name": (
        talk({"role": "function", "content": "4"}),
        "messages.1.name",
        "missing_parameter",
    ),
    "a result of an unknown function": (
        talk(
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{}"},
            },
            {"role": "function", "content": "4", "name": "g"},
        ),
        "messages.2.name",
        "invalid_value",
    ),
}
