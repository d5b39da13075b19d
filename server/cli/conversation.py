"""What is said in a terminal chat: the messages, and who answers them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Protocol

from server.chat.types import Message


@dataclass(frozen=True, slots=True)
class Wishes:
    """How answers are to be sampled; None leaves it to the model."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


class ChatError(Exception):
    """Why there is no answer; the message is one sentence for the person."""


class Speaker(Protocol):
    """A model that answers, here or elsewhere."""

    @property
    def name(self) -> str:
        """What answers, and where."""
        ...

    def reply(self, messages: list[Message]) -> AsyncGenerator[str]:
        """The answer in pieces. Raises ChatError; closing it early ends the computation."""
        ...


@dataclass(slots=True)
class Conversation:
    """The messages so far; an answer that was cut short belongs to them as far as it got."""

    system: str | None = None
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything but the system message."""
        self.messages = [Message("system", self.system)] if self.system else []

    def say(self, text: str) -> None:
        """The person's next message."""
        self.messages.append(Message("user", text))

    def answered(self, text: str) -> None:
        """The model's answer, or what there is of it."""
        self.messages.append(Message("assistant", text))

    def retract_answer(self) -> bool:
        """Drop the last answer, so that its question stands open again; False if none does."""
        if self.messages and self.messages[-1].role == "assistant":
            self.messages.pop()
        return self.open

    def retract_question(self) -> None:
        """Drop a question that got no answer."""
        if self.open:
            self.messages.pop()

    @property
    def open(self) -> bool:
        """A question waits for its answer."""
        return bool(self.messages) and self.messages[-1].role == "user"
