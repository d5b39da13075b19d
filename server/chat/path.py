"""The names of the questions and answers of a conversation, in turn; see Entry.path."""

from dataclasses import dataclass

from server.session import PATH_STEP, Key, extend


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Up to the end of a message. A question is all that is said between two answers.

    name: of all messages. last: where the question or answer before the message's own ended.
    asked: a question was. answering: the message belongs to an answer; None where there is none.
    """

    name: Key
    last: "Path | None" = None
    asked: bool = False
    answering: bool | None = None

    @property
    def before(self) -> bytes:
        """The path up to the question or answer that the message belongs to."""
        steps, node = [], self.last
        while node is not None:
            steps.append(node.name[:PATH_STEP])
            node = node.last
        return b"".join(reversed(steps))

    @property
    def whole(self) -> bytes:
        """If nothing more belongs to the last question or answer."""
        return self.before if self.answering is None else self.before + self.name[:PATH_STEP]

    def then(self, role: str, text: str) -> "Path":
        """With one more message, in canonical form."""
        asked = self.asked or role != "assistant"
        answering = asked and role == "assistant"
        goes_on = answering == self.answering
        last = self.last if goes_on or self.answering is None else self
        return Path(extend(self.name, role, text), last, asked, answering)
