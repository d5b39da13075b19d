"""What is said of a tool, in fields that all requests share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field

from server.api.fields import Wire

# Names of branches must be none of the keys, or an error's place would be read wrongly.
FUNCTION, CUSTOM = "a function", "a custom tool"
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def tool_kind(value: Any) -> str:
    """Which branch a tool, a choice or a call is checked as: whatever is not custom, a function."""
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return CUSTOM if kind == "custom" else FUNCTION


class FunctionFields(Wire):
    """A function; without parameters it takes none."""

    name: ToolName
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Grammar(Wire):
    """What a text has to be."""

    definition: Annotated[str, Field(min_length=1)]
    syntax: Literal["lark", "regex"]


class CustomFields(Protocol):
    """A tool that is called with a text."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str | None: ...

    @property
    def grammar(self) -> tuple[str, Grammar] | None:
        """What its text has to be, and the field of that below the tool's own; None for any."""
        ...
