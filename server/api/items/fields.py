"""Items as requests bring them, field by field."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from server.api.fields import AtMost, ListOf, Refused, Wire

MetadataField = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], AtMost(16)
]


class ItemText(Wire):
    """A piece of text; images and files have no meaning to these models."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class ItemRefusal(Wire):
    """What another model said in place of an answer."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        return self.refusal


class SentItem(Wire):
    """What an item says of itself has no meaning: it is kept whole, under an id of its own."""

    id: str | None = None
    status: str | None = None


class CalledItem(SentItem):
    """A call, or what it came to, between the model and its caller."""

    asynchronous: Annotated[Any, Refused(neutral=(False,))] = Field(None, alias="async")
    caller: Annotated[Any, Refused(neutral=({"type": "direct"},))] = None
    namespace: Annotated[Any, Refused()] = None


class MessageItem(SentItem):
    """A message; an assistant's may come without id and status."""

    type: Literal["message"] | None = None
    role: Literal["user", "system", "developer", "assistant"]
    content: str | ListOf[Annotated[ItemText | ItemRefusal, Field(discriminator="type")]]
    phase: str | None = None


class FunctionCallItem(CalledItem):
    """A call; its arguments are JSON in a string."""

    type: Literal["function_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    arguments: str


class FunctionOutputItem(CalledItem):
    """What a call came to; its call_id says whose, and name nothing more."""

    type: Literal["function_call_output"]
    call_id: str
    name: str | None = None
    output: str | ListOf[ItemText]


class CustomCallItem(CalledItem):
    """A call of a custom tool, with a text."""

    type: Literal["custom_tool_call"]
    call_id: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(min_length=1)]
    input: str


class CustomOutputItem(CalledItem):
    """What such a call came to."""

    type: Literal["custom_tool_call_output"]
    call_id: str
    output: str | ListOf[ItemText]


class ReasoningItem(SentItem):
    """What a model thought; the models here know it from their state, or not at all."""

    type: Literal["reasoning"]
    summary: ListOf[dict[str, Any]] | None = None
    content: ListOf[dict[str, Any]] | None = None
    encrypted_content: str | None = None


class ReferenceItem(Wire):
    """An item of a stored response."""

    type: Literal["item_reference"] | None = None
    id: str


class OtherItem(Wire):
    """What only other servers can do."""

    type: Annotated[Any, Refused()]


_KINDS = {
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
    "item_reference",
}


def _kind(value: Any) -> str:
    given = value if isinstance(value, Mapping) else vars(value)
    kind = given.get("type")
    if kind is None:
        return "item_reference" if "id" in given and "role" not in given else "message"
    return kind if isinstance(kind, str) and kind in _KINDS else "other"


def _kind_of(value: Any) -> str:
    """Anything that is no object is checked as a message, and so refused as none."""
    return _kind(value) if isinstance(value, Mapping | Wire) else "message"


InputItem = Annotated[
    Annotated[MessageItem, Tag("message")]
    | Annotated[FunctionCallItem, Tag("function_call")]
    | Annotated[FunctionOutputItem, Tag("function_call_output")]
    | Annotated[CustomCallItem, Tag("custom_tool_call")]
    | Annotated[CustomOutputItem, Tag("custom_tool_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[ReferenceItem, Tag("item_reference")]
    | Annotated[OtherItem, Tag("other")],
    Discriminator(_kind_of),
]
