"""A conversation laid out as segments, with the places where it can be resumed."""

from dataclasses import dataclass

from server.chat.beginnings import Beginnings
from server.chat.thinking import Phase
from server.chat.tools import ExpectedCalls
from server.chat.types import Message
from server.session import Key


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
class Link:
    """What a message adds to a conversation whose later messages do not change it.

    key: of the conversation up to its end. empty: that has no text at all.
    """

    segments: tuple[Segment, ...]
    key: Key
    empty: bool


Links = Beginnings[Message, Link]


@dataclass(frozen=True, slots=True)
class Layout:
    """The segments of a prompt, of which `opening`, the last, makes the model answer.

    key: names the messages, whatever makes the model answer them; the opening's key names the
    whole prompt. phase: what the answer's first words are. calls: None where it may have none.
    begun: the words of the answer that the prompt ends in, for one that goes on.
    """

    history: tuple[Segment, ...]
    opening: Segment
    key: Key
    phase: Phase
    calls: ExpectedCalls | None = None
    begun: str = ""

    @property
    def segments(self) -> tuple[Segment, ...]:
        return (*self.history, self.opening)

    @property
    def keys(self) -> list[Key | None]:
        return [segment.key for segment in self.segments]
