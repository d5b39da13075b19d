"""Chat templates: messages to the text a model was trained on, cut into segments.

Segments are tokenised each on its own. The cuts lie where a conversation can be resumed, so
that a resumed prompt and a fresh one consist of the same tokens.
Source: RWKV7-G1x-templates.txt and the model cards of the official checkpoints.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from server.chat.types import Message, SamplingOptions


class Template(Protocol):
    """How one family of models wants its conversations."""

    @property
    def name(self) -> str: ...

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end an answer, besides token 0."""
        ...

    @property
    def sampling(self) -> SamplingOptions:
        """What the request leaves open."""
        ...

    @property
    def header(self) -> str:
        """The segment that makes the model answer."""
        ...

    def segments(self, message: Message, *, first: bool) -> tuple[str, ...]:
        """The segments of one message of the history; first: nothing stands before it."""
        ...

    def canonical(self, message: Message) -> tuple[str, str]:
        """(role, text) in the form that is the same however a client sends it back."""
        ...


@dataclass(frozen=True, slots=True)
class WorldTemplate:
    """`System: …`, `User: …`, `Assistant:` joined by blank lines: World 7 and G1.

    Blank lines separate turns, so runs of newlines within system and user text collapse.
    """

    name: str
    stops: tuple[str, ...]
    sampling: SamplingOptions
    header: str = "\n\nAssistant:"

    def segments(self, message: Message, *, first: bool) -> tuple[str, ...]:
        _, text = self.canonical(message)
        body = f" {text}" if text else ""
        if message.role == "assistant":
            return (self.header.lstrip("\n") if first else self.header, body)
        name = "System:" if message.role == "system" else "User:"
        return (("" if first else "\n\n") + name + body,)

    def canonical(self, message: Message) -> tuple[str, str]:
        text = re.sub(r"\r\n?", "\n", message.content).strip()
        if message.role != "assistant":
            text = re.sub(r"\n+", "\n", text)
        return message.role, text


# "\n\n" alone is no stop: the answers and thoughts of G1 contain it.
G1 = WorldTemplate(
    name="g1",
    stops=("\n\nUser:", "\nUser:"),
    sampling=SamplingOptions(temperature=1.0, top_p=0.5, top_k=100),
)

TEMPLATES: dict[str, Template] = {"g1": G1}


def find_template(name: str) -> Template:
    """The template called `name`; "auto" is G1, the format of every RWKV-7 chat model."""
    wanted = "g1" if name == "auto" else name
    if wanted not in TEMPLATES:
        known = ", ".join(["auto", *TEMPLATES])
        raise ValueError(f"unknown template {name!r}: choose one of {known}")
    return TEMPLATES[wanted]
