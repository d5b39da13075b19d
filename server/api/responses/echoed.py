"""What a response tells of its request: tools, and how they and the text had to be.

The models of the request take keys that they do not know; what is told of them has no others.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from server.api.constraint import Schema
from server.api.outgoing import LEFT_OUT, ClosedModel


class ToldTextFormat(ClosedModel):
    """Any text."""

    type: Literal["text"]


class ToldObjectFormat(ClosedModel):
    """A JSON object, with a schema one that fits it."""

    type: Literal["json_object"]
    definition: Annotated[Schema | None, LEFT_OUT] = Field(None, alias="schema")


class ToldSchemaFormat(ClosedModel):
    """JSON that fits a schema."""

    type: Literal["json_schema"]
    name: str
    definition: Schema = Field(alias="schema")
    description: Annotated[str | None, LEFT_OUT] = None
    strict: Annotated[bool | None, LEFT_OUT] = None


class ToldGrammar(ClosedModel):
    """A text of a grammar."""

    type: Literal["grammar"]
    syntax: Literal["lark", "regex"]
    definition: str


class ToldFunction(ClosedModel):
    """A function, as the request had it."""

    type: Literal["function"]
    name: str
    description: str | None
    parameters: dict[str, Any] | None
    strict: bool | None


class ToldCustom(ClosedModel):
    """A custom tool."""

    type: Literal["custom"]
    name: str
    description: Annotated[str | None, LEFT_OUT] = None
    format: Annotated[ToldTextFormat | ToldGrammar, Field(discriminator="type")]


class ToldToolName(ClosedModel):
    """A tool by its name."""

    type: Literal["function", "custom"]
    name: str


class ToldAllowedTools(ClosedModel):
    """The tools that may be called, and whether one has to be."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[ToldToolName]


ToldFormat = Annotated[
    ToldTextFormat | ToldObjectFormat | ToldSchemaFormat, Field(discriminator="type")
]
ToldTool = Annotated[ToldFunction | ToldCustom, Field(discriminator="type")]
ToldChoice = Literal["none", "auto", "required"] | ToldToolName | ToldAllowedTools
