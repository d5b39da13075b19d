"""What can never be answered here, told before the engine is asked; all raise InvalidRequest."""

from collections.abc import Sequence

from server.chat.types import Message
from server.errors import InvalidRequest


def check_choices(choices: int, capacity: int) -> None:
    if choices > capacity:
        raise InvalidRequest(
            f"{choices} choices can never run here: slots and queue together take {capacity}",
            param="n",
        )


def check_text(messages: Sequence[Message]) -> None:
    for number, message in enumerate(messages):
        try:
            message.content.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest(
                f"message {number} holds half of a surrogate pair, which is not Unicode",
                param=f"messages.{number}.content",
            ) from error


def check_length(tokens: int, most: int) -> None:
    """most: 0 is no limit."""
    if 0 < most < tokens:
        raise InvalidRequest(
            f"the prompt has {tokens} tokens, and this server is set to take at most {most}",
            param="messages",
            code="context_length_exceeded",
        )
