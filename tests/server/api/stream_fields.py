"""Fields of requests that between them make every kind of event, beside what has to be there."""

from typing import Any

HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
FUNCTION = {"name": "f", "parameters": SCHEMA}
GRAMMAR = {"syntax": "regex", "definition": "[ab]{3}"}
CALLED = {"tool_choice": "required", "parallel_tool_calls": False}
USAGE = {"stream_options": {"include_usage": True}}
LONG = {"max_tokens": 120}
STOP = ["e", "a", "t"]
CHAT_FIELDS: list[dict[str, Any]] = [
    {},
    {"n": 2, **USAGE},
    {"logprobs": True, "top_logprobs": 2, "return_token_ids": True},
    {"reasoning_effort": "low"},
    {"tools": [{"type": "function", "function": FUNCTION}], **CALLED, **LONG, **USAGE},
    {"functions": [FUNCTION], "function_call": {"name": "f"}, **LONG},
    {"stop": STOP},
]
# The SDK has no type for such calls in chunks yet.
CUSTOM = {"name": "code", "format": {"type": "grammar", "grammar": GRAMMAR}}
CUSTOM_CALLED = {"tools": [{"type": "custom", "custom": CUSTOM}], **CALLED, **LONG}
COMPLETION_FIELDS: list[dict[str, Any]] = [
    {},
    {"n": 2, **USAGE},
    {"logprobs": 2, "return_token_ids": True},
    {"logprobs": 1, "echo": True, "prompt": ["Hello", "you"]},
    {"stop": STOP},
    {"stop": STOP, "return_token_ids": True},
]
RESPONSE_TOOL = {"type": "function", "strict": True, **FUNCTION}
RESPONSE_CUSTOM = {"type": "custom", "name": "code", "format": {"type": "grammar", **GRAMMAR}}
RESPONSE_TEXT = {"type": "custom", "name": "write", "description": "Writes a text"}
RESPONSE_LARK = {"type": "grammar", "syntax": "lark", "definition": 'start: "a" | "b"'}
RESPONSE_TOOLS = [RESPONSE_TOOL, {"type": "custom", "name": "letter", "format": RESPONSE_LARK}]


def allowed(mode: str, *tools: dict[str, Any]) -> dict[str, Any]:
    """A choice among tools of a response."""
    named = [{key: tool[key] for key in ("type", "name")} for tool in tools]
    return {"tool_choice": {"type": "allowed_tools", "mode": mode, "tools": named}}


def formatted(kind: str, **fields: Any) -> dict[str, Any]:
    """A form of a response's text."""
    return {"text": {"format": {"type": kind, **fields}}, "max_output_tokens": 120}


RESPONSE_FIELDS: list[dict[str, Any]] = [
    {},
    {"top_logprobs": 2, "instructions": "Be brief.", "metadata": {"a": "b"}, "user": "Ann"},
    {"reasoning": {"effort": "low"}},
    {"tools": [RESPONSE_TOOL, RESPONSE_CUSTOM], "max_output_tokens": 120, **CALLED},
    {
        "tools": [RESPONSE_CUSTOM],
        "tool_choice": {"type": "custom", "name": "code"},
        "max_output_tokens": 120,
    },
    {"tools": [RESPONSE_TOOL], "max_output_tokens": 120, **CALLED},
    {
        "tools": [{"type": "function", "name": "f", "description": "Does it"}],
        "tool_choice": {"type": "function", "name": "f"},
        "max_output_tokens": 14,
    },
    {"tools": [RESPONSE_TEXT], "tool_choice": "required", "max_output_tokens": 14},
    {"tools": RESPONSE_TOOLS, **allowed("auto", RESPONSE_TOOL)},
    {"tools": RESPONSE_TOOLS, **allowed("required", *RESPONSE_TOOLS)},
    {"tools": RESPONSE_TOOLS, "tool_choice": "none", "truncation": "auto"},
    formatted("json_schema", name="a", schema=SCHEMA),
    formatted("json_schema", name="a", schema=SCHEMA, description="A number", strict=True),
    formatted("json_object"),
    {"max_output_tokens": 1},
    {"max_output_tokens": 6, "reasoning": {"effort": "low", "summary": "auto"}},
    {"max_output_tokens": None, "stop": STOP},
]
# Schemas that OpenAI has not, and so the SDK has no types for.
RESPONSE_SCHEMAS = [
    formatted("json_schema", name="a", schema=True),
    formatted("json_object", schema=SCHEMA),
    formatted("json_object", schema=True),
]
TOOL = {"name": "f", "input_schema": SCHEMA}
MESSAGE_FIELDS: list[dict[str, Any]] = [
    {},
    {"stop_sequences": STOP},
    LONG,
    {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    {"tools": [TOOL], "tool_choice": {"type": "any"}, **LONG},
]
