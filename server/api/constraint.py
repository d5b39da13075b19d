"""What chats and raw completions ask about the form of an answer, in the words of several servers.

`response_format` is OpenAI's; `structured_outputs` and `guided_…` are vLLM's, `grammar` and
`json_schema` llama-server's. One of them at most says something.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import from_json

from server.api.fields import ListOf, Refused, Wire
from server.chat.types import Constraint, ConstraintKind
from server.errors import InvalidRequest

Schema = dict[str, Any] | bool
Source = Annotated[str, Field(min_length=1)]
Choices = Annotated[
    ListOf[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=1024)
]


class NamedSchema(Wire):
    """strict makes no difference: a schema is enforced, or refused."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str | None = None
    definition: Schema | None = Field(None, alias="schema")
    strict: bool | None = None


class TextFormat(Wire):
    """Any text."""

    type: Literal["text"]


class JsonObjectFormat(Wire):
    """A JSON object, with llama-server's `schema` one that fits it."""

    type: Literal["json_object"]
    definition: Schema | None = Field(None, alias="schema")


class JsonSchemaFormat(Wire):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StructuredOutputs(Wire):
    """One of its first five keys says what the answer has to be."""

    json_value: Schema | str | None = Field(None, alias="json")
    regex: Source | None = None
    choice: Choices | None = None
    grammar: Source | None = None
    json_object: bool | None = None
    structural_tag: Annotated[Any, Refused()] = None
    whitespace_pattern: Annotated[Any, Refused()] = None
    disable_any_whitespace: Annotated[Any, Refused(neutral=(False,))] = None
    disable_additional_properties: Annotated[Any, Refused(neutral=(False,))] = None


class ConstraintFields(Wire):
    """Fields that do what they say; null stands for any text."""

    response_format: (
        Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]
        | None
    ) = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | str | None = None
    guided_regex: Source | None = None
    guided_choice: Choices | None = None
    guided_grammar: Source | None = None
    grammar: str | None = None
    json_schema: Schema | None = None


def asked_constraint(body: ConstraintFields) -> Constraint | None:
    """Raises InvalidRequest where more than one thing is asked for."""
    asked = list(_asked(body))
    if len(asked) > 1:
        names = " and ".join(constraint.param for constraint in asked)
        raise InvalidRequest(
            f"{names} each say what the answer has to be; leave all but one of them out.",
            param=asked[1].param,
            code="invalid_value",
        )
    return asked[0] if asked else None


def _asked(body: ConstraintFields) -> Iterator[Constraint]:
    yield from _of_format(body)
    vllm = body.structured_outputs
    if vllm is not None:
        field = "structured_outputs"
        if vllm.json_object:
            yield Constraint("json_object", "", f"{field}.json_object")
        yield from _given("json_schema", vllm.json_value, f"{field}.json")
        yield from _given("regex", vllm.regex, f"{field}.regex")
        yield from _given("choice", vllm.choice, f"{field}.choice")
        yield from _given("lark", vllm.grammar, f"{field}.grammar")
    yield from _given("json_schema", body.guided_json, "guided_json")
    yield from _given("regex", body.guided_regex, "guided_regex")
    yield from _given("choice", body.guided_choice, "guided_choice")
    yield from _given("lark", body.guided_grammar, "guided_grammar")
    yield from _given("lark", body.grammar or None, "grammar")
    yield from _given("json_schema", body.json_schema, "json_schema")


def _of_format(body: ConstraintFields) -> Iterator[Constraint]:
    match body.response_format:
        case JsonObjectFormat(definition=None):
            yield Constraint("json_object", "", "response_format")
        case JsonObjectFormat(definition=schema):
            yield from _given("json_schema", schema, "response_format.schema")
        case JsonSchemaFormat(json_schema=named):
            schema = True if named.definition is None else named.definition
            yield from _given("json_schema", schema, "response_format.json_schema.schema")


def _given(kind: ConstraintKind, value: Any, param: str) -> Iterator[Constraint]:
    if value is None:
        return
    if kind == "json_schema" and isinstance(value, str):
        value = _parsed(value, param)
    as_is = kind in {"regex", "lark"}
    yield Constraint(kind, value if as_is else json.dumps(value), param)


def _parsed(text: str, param: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        message = f"{param} is not valid JSON: {error}."
        raise InvalidRequest(message, param=param, code="invalid_value") from None
