"""What every chat template does, and how a message is brought into one form."""

import re
from collections.abc import Sequence
from typing import Protocol

from server.chat.prompt import Layout, Links, Segment
from server.chat.tools import NO_TOOLS, Toolbox
from server.chat.types import Message, SamplingOptions, Thinking
from server.session import Key


class TemplateError(ValueError):
    """A template that cannot be used; the message is one sentence for the person."""


class Template(Protocol):
    """How one family of models wants its conversations."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Equal for templates that lay out every conversation alike."""
        ...

    @property
    def jinja(self) -> str | None:
        """Its source, if that is what it is written in."""
        ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end an answer, besides token 0."""
        ...

    @property
    def sampling(self) -> SamplingOptions:
        """What the request leaves open."""
        ...

    @property
    def thinks(self) -> bool:
        """A request can say how much an answer is to be thought about."""
        ...

    def lay_out(
        self,
        root: Key,
        messages: Sequence[Message],
        thinking: Thinking | None = None,
        toolbox: Toolbox = NO_TOOLS,
        links: Links | None = None,
    ) -> Layout:
        """A prompt that makes the model answer; `root` names the conversation without messages.

        An answer continues it under the key extend(layout.key, *canonical(answer)). `thinking`
        is None where `thinks` is false. links: of this template's earlier prompts. Raises
        InvalidRequest for messages it has no form for.
        """
        ...

    def go_on(
        self,
        root: Key,
        messages: Sequence[Message],
        toolbox: Toolbox = NO_TOOLS,
        links: Links | None = None,
    ) -> Layout:
        """A prompt in which the last message, words of the assistant's, is not yet at its end.

        Those words and the answer are one message under its key. Raises InvalidRequest for
        messages it has no form for.
        """
        ...

    def told(
        self, messages: Sequence[Message], layout: Layout, toolbox: Toolbox = NO_TOOLS
    ) -> tuple[Segment, ...]:
        """The messages alone, of which `layout` is the prompt that asks for an answer."""
        ...

    def between(self, prefix: str, suffix: str) -> str | None:
        """A raw prompt for the text between two others; None where the model has no form for it."""
        ...

    def canonical(self, message: Message) -> tuple[str, str]:
        """(role, text) in the form that is the same however a client sends it back."""
        ...


def plain(text: str) -> str:
    """Without white space around it, and with line feeds as line ends."""
    unix = re.sub(r"\r\n?", "\n", text) if "\r" in text else text
    return unix.strip()
