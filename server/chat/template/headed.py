"""Templates that put a header before every message, and blank lines between them.

Sources: RWKV7-G1x-templates.txt, the model cards of the official checkpoints, and ChatRWKV.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from server.chat.prompt import Layout, Link, Links, Segment
from server.chat.template.base import plain
from server.chat.thinking import phase_of
from server.chat.tools import EXPLAINED, FENCED, NO_TOOLS, Toolbox, ToolListing, Worded, in_words
from server.chat.types import Message, SamplingOptions, Thinking
from server.session import Key, extend, prompt_key

_GAP = "\n\n"
# The model itself writes the ">": its tokens join that with what comes next.
_THOUGHT = " <think"
_NO_THOUGHT = " <think>\n</think"
_EFFORT: Mapping[Thinking, str] = {
    "low": " (think a bit)",
    "medium": " (think)",
    "high": " (think a lot)",
}
_TRAINED = Worded(ToolListing("Tools:", "Return only a JSON function call."), FENCED)


@dataclass(frozen=True, slots=True)
class HeadedTemplate:
    """`system`, `user` and `assistant` stand before the text of their messages.

    What stands before an answer is given to the model; `space` it writes itself. Blank lines
    separate messages, so runs of newlines within system and user text collapse. tools: how they
    are listed, called and answered, which is as text in the messages of the three roles. gap: the
    raw prompt for the text between `{prefix}` and `{suffix}`, if there is one.
    """

    name: str
    stops: tuple[str, ...]
    sampling: SamplingOptions
    system: str = "System: "
    user: str = "User: "
    assistant: str = "Assistant:"
    space: str = " "
    thinks: bool = False
    tools: Worded = EXPLAINED
    gap: str = ""

    @property
    def fingerprint(self) -> str:
        return self.name

    @property
    def jinja(self) -> None:
        return None

    @property
    def header(self) -> str:
        """What makes the model answer, without thinking about it."""
        return _GAP + self.assistant

    def lay_out(
        self,
        root: Key,
        messages: Sequence[Message],
        thinking: Thinking | None = None,
        toolbox: Toolbox = NO_TOOLS,
        links: Links | None = None,
    ) -> Layout:
        """Boundaries lie after system and assistant messages, and at the end of the prompt.

        A user message is always followed by the header of what answers it. The header of an
        answer in the history is a place to resume from too, in case the client cut or changed
        that answer.
        """
        made = self._links(root, messages, toolbox, links)
        key = made[-1].key
        calls = toolbox.expected(self.tools.form, thinking)
        begun = calls.begun if calls else ""
        text = self._opening(messages[-1].role, thinking, begun)
        opening = Segment(text, len(messages) - 1, prompt_key(key, text), boundary=True)
        phase = phase_of(text) if self.thinks and not begun else "answer"
        return Layout(_segments(made), opening, key, phase, calls)

    def go_on(
        self,
        root: Key,
        messages: Sequence[Message],
        toolbox: Toolbox = NO_TOOLS,
        links: Links | None = None,
    ) -> Layout:
        made = self._links(root, messages, toolbox, links)
        *history, opening = _segments(made)
        _, text = self.canonical(messages[-1])
        calls = toolbox.expected(self.tools.form, "none")
        key = made[-2].key if len(made) > 1 else root
        return Layout(tuple(history), opening, key, "answer", calls, begun=text)

    def _links(
        self, root: Key, messages: Sequence[Message], toolbox: Toolbox, links: Links | None
    ) -> Sequence[Link]:
        """Of all messages; those of earlier prompts are taken as they are."""

        def made(begun: Sequence[Link]) -> Sequence[Link]:
            found = list(begun)
            for number, message in enumerate(messages[len(begun) :], len(begun)):
                before = found[-1] if found else Link((), root, empty=True)
                said = in_words(self.tools, (message,), () if found else toolbox.tools)
                found.append(self._link(before, number, said))
            return found

        if links is None:
            return made(())
        listed = self.tools.listing.text(toolbox.tools) if toolbox.tools else ""
        return links.made((root, listed), tuple(messages), made)

    def _link(self, before: Link, number: int, said: Sequence[Message]) -> Link:
        """said: the message, and before it one that lists tools, if that is none of the others."""
        key, empty = before.key, before.empty
        segments: list[Segment] = []
        for message in said:
            role, text = self.canonical(message)
            *headers, body = self.segments(role, text, first=empty)
            empty = empty and not (headers or body)
            for header in headers:
                name = prompt_key(key, header)
                segments.append(Segment(header, number, name, boundary=False))
            key = extend(key, role, text)
            end = key if role != "user" else None
            segments.append(Segment(body, number, end, boundary=end is not None))
        return Link(tuple(segments), key, empty)

    def told(
        self, messages: Sequence[Message], layout: Layout, toolbox: Toolbox = NO_TOOLS
    ) -> tuple[Segment, ...]:
        return layout.history

    def segments(self, role: str, text: str, *, first: bool) -> tuple[str, ...]:
        """The texts of one message of the history; first: nothing stands before it."""
        if role == "assistant":
            header = self.assistant if first else self.header
            return (header, self.space + text if text else "")
        before = self.system if role == "system" else self.user
        body = (before + text).rstrip()
        return (body if first or not body else _GAP + body,)

    def between(self, prefix: str, suffix: str) -> str | None:
        return self.gap.format(prefix=prefix, suffix=suffix) if self.gap else None

    def canonical(self, message: Message) -> tuple[str, str]:
        message = self.tools.message(message)
        text = plain(message.content)
        if message.role != "assistant" and "\n" in text:
            text = re.sub(r"\n\n+", "\n", text)  # r"\n+" finds the same, 40 times as slowly
        return message.role, text

    def _opening(self, last: str, thinking: Thinking | None, begun: str = "") -> str:
        """What follows the last message; begun: what a call begins with.

        The effort is asked for in the words that end it, if it is the user's; they are not part
        of the message, and so not of its name.
        """
        if begun:
            return self.header + self.space + begun
        if thinking is None:
            return self.header
        if thinking == "none":
            return self.header + _NO_THOUGHT
        effort = _EFFORT.get(thinking, "") if last == "user" else ""
        return effort + self.header + _THOUGHT


def _segments(links: Iterable[Link]) -> tuple[Segment, ...]:
    return tuple(chain.from_iterable(link.segments for link in links))


# "\n\n" alone is no stop: the answers and thoughts of G1 contain it.
G1 = HeadedTemplate(
    name="g1",
    stops=("\n\nUser:", "\nUser:"),
    sampling=SamplingOptions(temperature=1.0, top_p=0.5, top_k=100),
    thinks=True,
    tools=_TRAINED,
    gap="✿prefix✿✿suffix✿{suffix}✿middle✿{prefix}",
)

WORLD = HeadedTemplate(
    name="world",
    stops=("\n\n", "\nUser:"),
    sampling=SamplingOptions(
        temperature=1.0,
        top_p=0.3,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        penalty_decay=0.996,
    ),
)

_RAVEN_SAMPLING = SamplingOptions(
    temperature=1.2, top_p=0.5, presence_penalty=0.4, frequency_penalty=0.4
)

RAVEN = HeadedTemplate(
    name="raven",
    stops=("\n\n", "\nBob:"),
    sampling=_RAVEN_SAMPLING,
    system="",
    user="Bob: ",
    assistant="Alice:",
)

# An answer to an instruction may have paragraphs.
ALPACA = HeadedTemplate(
    name="alpaca",
    stops=("\n\n# Instruction:", "\n# Instruction:"),
    sampling=_RAVEN_SAMPLING,
    system="",
    user="# Instruction:\n",
    assistant="# Response:\n",
    space="",
)
