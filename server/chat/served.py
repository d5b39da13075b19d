"""A model as clients see it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from models.base import ModelSpec
from models.tokenizer import Tokenizer, TokenizerError
from server.chat.beginnings import Beginnings
from server.chat.path import Path
from server.chat.prompt import Layout, Link, Segment
from server.chat.template import Template
from server.chat.tools import NO_TOOLS, Toolbox
from server.chat.types import Message, Thinking
from server.errors import InvalidRequest
from server.session import conversation_key


def _characters(message: Message) -> int:
    return len(message.content) + sum(len(call.arguments) for call in message.tool_calls)


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Its id, what it is, and how text becomes tokens.

    fingerprint: of everything that turns messages into states, for the keys of snapshots.
    keep_thinking: the state after an answer remembers what was thought before it. links, paths: of
    the messages of its latest conversations.
    """

    id: str
    spec: ModelSpec
    dtype: str
    tokenizer: Tokenizer
    template: Template
    keep_thinking: bool = True
    links: Beginnings[Message, Link] = field(
        default_factory=lambda: Beginnings(_characters), compare=False, repr=False
    )
    paths: Beginnings[Message, Path] = field(
        default_factory=lambda: Beginnings(_characters), compare=False, repr=False
    )

    @property
    def fingerprint(self) -> str:
        parts = [self.spec.fingerprint, self.dtype, self.tokenizer.fingerprint]
        parts += [self.template.fingerprint, *([] if self.keep_thinking else ["no thoughts"])]
        return "/".join(parts)

    def lay_out(
        self,
        caller: str,
        messages: Sequence[Message],
        thinking: Thinking | None = None,
        toolbox: Toolbox = NO_TOOLS,
        *,
        goes_on: bool = False,
    ) -> Layout:
        """The segments of a caller's prompt, by the names this model's states have."""
        root = conversation_key(self.fingerprint, caller)
        if goes_on:
            return self.template.go_on(root, messages, toolbox, self.links)
        return self.template.lay_out(root, messages, thinking, toolbox, self.links)

    def forget(self) -> None:
        """All that it has of what was said."""
        self.links.forget()
        self.paths.forget()

    def encode(self, segment: Segment) -> list[int]:
        """Raises InvalidRequest, naming the message it belongs to."""
        try:
            return self.tokenizer.encode(segment.text)
        except TokenizerError as error:
            raise InvalidRequest(
                f"message {segment.message} cannot be tokenised: {error}",
                param=f"messages.{segment.message}.content",
            ) from error
