"""What tests of responses ask, and what they read of an answer."""

from typing import Any

from openai import OpenAI
from openai.types.responses import Response

ENDLESS: Any = {"max_output_tokens": 1_000_000, "extra_body": {"logit_bias": {"0": -100}}}
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "name": "f", "parameters": PARAMETERS, "strict": True}


def ask(client: OpenAI, given: Any = "Hello", **fields: Any) -> Any:
    arguments = {"model": "tiny", "max_output_tokens": 8, **fields}
    extra = {"seed": 1, "logit_bias": {"0": -100}, **arguments.pop("extra_body", {})}
    found = client.responses.create(input=given, extra_body=extra, **arguments)
    if isinstance(found, Response):
        Response.model_validate(found.to_dict(), strict=True)
    return found


def total(response: Response) -> int:
    assert response.usage is not None
    return response.usage.input_tokens + response.usage.output_tokens


def cached(response: Response) -> int:
    assert response.usage is not None
    return response.usage.input_tokens_details.cached_tokens
