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
CHAT_FIELDS: list[dict[str, Any]] = [
    {},
    {"n": 2, **USAGE},
    {"logprobs": True, "top_logprobs": 2, "return_token_ids": True},
    {"reasoning_effort": "low"},
    {"tools": [{"type": "function", "function": FUNCTION}], **CALLED, **LONG, **USAGE},
    {"functions": [FUNCTION], "function_call": {"name": "f"}, **LONG},
]
COMPLETION_FIELDS: list[dict[str, Any]] = [
    {},
    {"n": 2, **USAGE},
    {"logprobs": 2, "return_token_ids": True},
    {"logprobs": 1, "echo": True, "prompt": ["Hello", "you"]},
]
RESPONSE_TOOL = {"type": "function", "strict": True, **FUNCTION}
RESPONSE_CUSTOM = {"type": "custom", "name": "code", "format": {"type": "grammar", **GRAMMAR}}
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
    {
        "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
        "max_output_tokens": 120,
    },
]
TOOL = {"name": "f", "input_schema": SCHEMA}
MESSAGE_FIELDS: list[dict[str, Any]] = [
    {},
    {"stop_sequences": ["e", "a", "t"]},
    {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    {"tools": [TOOL], "tool_choice": {"type": "any"}, **LONG},
]
