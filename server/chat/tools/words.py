"""A conversation with tools in the words of one without: for templates that know three roles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.chat.tools.form import FENCED, CallForm
from server.chat.tools.listing import ToolListing
from server.chat.types import Message, Tool


@dataclass(frozen=True, slots=True)
class Worded:
    """How a template says it. result: what stands before what a tool answered."""

    listing: ToolListing
    form: CallForm
    result: str = "Function output:\n"

    def message(self, message: Message) -> Message:
        """Calls as the text they were, results as what the user says."""
        if message.role == "tool":
            return Message("user", self.result + message.content.strip())
        if message.tool_calls:
            text = self.form.answer(message.content.strip(), message.tool_calls)
            return Message(message.role, text)
        return message


# For models that were not trained on a form of their own.
EXPLAINED = Worded(
    ToolListing(
        "You can use these tools:",
        "To use one, answer with a call in exactly this form:\n"
        + FENCED.call("NAME", '{"ARGUMENT": "VALUE"}'),
    ),
    FENCED,
)


def in_words(
    worded: Worded, messages: Sequence[Message], tools: Sequence[Tool]
) -> tuple[Message, ...]:
    """The messages, of which the first, a new one if need be, also lists the tools."""
    said = tuple(map(worded.message, messages))
    if not tools:
        return said
    listed = worded.listing.text(tools)
    if said and said[0].role == "system":
        text = "\n".join(filter(None, (said[0].content.strip(), listed)))
        return (replace(said[0], content=text), *said[1:])
    return (Message("system", listed), *said)
