"""A conversation laid out as segments, with the places where it can be resumed."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.chat.template import Template
from server.chat.types import Message
from server.session import Key, conversation_key, extend, prompt_key


@dataclass(frozen=True, slots=True)
class Segment:
    """Text that is tokenised on its own, and the name of the conversation up to its end.

    message: the number of the message it belongs to. key: None where nothing is ever kept.
    boundary: a snapshot is to be kept here when the segment is fed.
    """

    text: str
    message: int
    key: Key | None
    boundary: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The segments of a prompt; `key` names its messages, the last segment's key the prompt."""

    segments: tuple[Segment, ...]
    key: Key

    @property
    def keys(self) -> list[Key | None]:
        return [segment.key for segment in self.segments]


def lay_out(
    template: Template, fingerprint: str, caller: str, messages: Sequence[Message]
) -> Layout:
    """Boundaries lie after system and assistant messages, and at the end of the prompt.

    A user message is always followed by the header of what answers it. The header of an answer
    in the history is a place to resume from too, in case the client cut or changed that answer.
    """
    key = conversation_key(fingerprint, caller)
    segments: list[Segment] = []
    for number, message in enumerate(messages):
        texts = template.segments(message, first=number == 0)
        if message.role == "assistant":
            header = prompt_key(key, texts[0])
            segments.append(Segment(texts[0], number, header, boundary=False))
        key = extend(key, *template.canonical(message))
        end = key if message.role != "user" else None
        segments.append(Segment(texts[-1], number, end, boundary=end is not None))
    last = prompt_key(key, template.header)
    segments.append(Segment(template.header, len(messages) - 1, last, boundary=True))
    return Layout(tuple(segments), key)
