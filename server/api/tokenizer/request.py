"""The bodies of POST /tokenize and /detokenize, field by field, in vLLM's words."""

from typing import Annotated, Any

from pydantic import Field

from server.api.chat.message import ChatMessage
from server.api.chat.request import ThinkingFields
from server.api.fields import ListOf, Refused, Whole, Wire
from server.api.going_on import GoingOnFields
from server.api.tools.chat import ToolFields
from server.errors import InvalidRequest


class TokenizeBody(ThinkingFields, GoingOnFields, ToolFields):
    """A text, or a conversation as a chat would be asked it."""

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[ListOf[ChatMessage], Field(min_length=1)] | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None
    chat_template: Annotated[Any, Refused()] = None

    def check_form(self) -> None:
        """Raises InvalidRequest unless there is one thing to be encoded."""
        if self.prompt is None and self.messages is None:
            message = "prompt is required, or messages in its place."
            raise InvalidRequest(message, param="prompt", code="missing_parameter")
        if self.prompt is not None and self.messages is not None:
            message = "messages and prompt are given, but only one can be encoded; leave one out."
            raise InvalidRequest(message, param="messages", code="invalid_value")
        self.check_going_on()

    @property
    def size(self) -> int:
        """How much there is to do, in characters; a message costs about as much as 64 do."""
        return len(self.prompt or "") + sum(64 + len(one.text) for one in self.messages or ())


class DetokenizeBody(Wire):
    """Ids of a model."""

    model: str | None = None
    tokens: ListOf[Whole]
