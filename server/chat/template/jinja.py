"""A chat template written in Jinja, as Hugging Face's tokenizers bring one.

It sees `messages`, `tools`, `add_generation_prompt`, `bos_token` and `eos_token` (both empty: RWKV
has no text for them), `enable_thinking` where a request says so, and `raise_exception`. Where it
does not know tools, or writes calls in a form that cannot be read, they are put in words.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2.exceptions import SecurityError

from server.chat.prompt import Layout, Links, Segment
from server.chat.template.base import TemplateError, plain
from server.chat.template.jinja_source import compiled
from server.chat.template.jinja_tools import find_calls, wire_messages, wire_tools
from server.chat.thinking import Phase, phase_of
from server.chat.tools import EXPLAINED, NO_TOOLS, Toolbox, in_words
from server.chat.types import Message, SamplingOptions, Thinking, Tool
from server.errors import InvalidRequest
from server.session import Key, extend, prompt_key

# Ends of messages that are looked for as places to resume from, from the last one back: each
# costs a rendering of the conversation.
_BOUNDARIES = 8
_PROBE = (
    Message("user", "A first question?"),
    Message("assistant", "An answer."),
    Message("user", "A second question?"),
)


@dataclass(frozen=True, slots=True)
class _Talk:
    """What is rendered; added: messages that are not the request's, before the others."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    added: int = 0

    def up_to(self, number: int) -> "_Talk":
        return _Talk(self.messages[:number], self.tools, self.added)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A place in a rendering: how many characters lie before it, and their name."""

    end: int
    message: int
    key: Key
    boundary: bool


def read_template(path: Path) -> "JinjaTemplate":
    """The template in a file. Raises TemplateError."""
    try:
        return JinjaTemplate(path.name, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"the template file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TemplateError(
            f"the template file {path} is not UTF-8 text (byte {error.start})"
        ) from error


class JinjaTemplate:
    """Renders whole conversations, and finds boundaries by rendering parts of them.

    The end of a message is a boundary where the rendering up to it is how the rendering of the
    whole begins. The key of a boundary names the rendered text, so that a state is only resumed
    where the template says now what it said then; a template without any such place is served
    from the beginning every time.
    """

    # Nothing is known about the model.
    sampling = SamplingOptions()

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.fingerprint = f"jinja-{hashlib.blake2b(source.encode(), digest_size=16).hexdigest()}"
        self.jinja = source
        self.thinks = "enable_thinking" in source
        self._may_think = "think" in source
        self._template = compiled(name, source)
        self._check()
        self._calls = find_calls(self._rendered)
        self._form = self._calls.form if self._calls else EXPLAINED.form
        self.stops = self._find_stops()

    def lay_out(
        self,
        root: Key,
        messages: Sequence[Message],
        thinking: Thinking | None = None,
        toolbox: Toolbox = NO_TOOLS,
        links: Links | None = None,
    ) -> Layout:
        del links  # a later message may change how an earlier one is rendered
        talk = self._talk(messages, toolbox)
        whole = self._whole(talk, thinking)
        history = self._history(root, talk, whole)
        at = sum(len(segment.text) for segment in history)
        unasked = whole if thinking is None else self._whole(talk)
        key = extend(root, "prompt", unasked)
        calls = toolbox.expected(self._form, thinking)
        begun = calls.begun if calls else ""
        name = prompt_key(key, whole + begun)
        opening = Segment(whole[at:] + begun, len(messages) - 1, name, boundary=True)
        phase: Phase = "answer" if begun else self._phase(talk, whole, thinking)
        return Layout(history, opening, key, phase, calls)

    def go_on(
        self,
        root: Key,
        messages: Sequence[Message],
        toolbox: Toolbox = NO_TOOLS,
        links: Links | None = None,
    ) -> Layout:
        del links
        talk = self._talk(messages, toolbox)
        whole = self._whole(talk, opened=False)
        cuts = tuple(self._answer_cuts(root, talk, len(talk.messages) - 1, whole))
        if len(cuts) < 2:
            raise InvalidRequest(
                f"the chat template {self.name} does not let an answer go on", param="messages"
            )
        history = self._history(root, talk, whole[: cuts[1].end])
        prompt = extend(root, "prompt", whole[: cuts[0].end])
        _, text = self.canonical(messages[-1])
        calls = toolbox.expected(self._form, "none")
        return Layout(history[:-1], history[-1], prompt, "answer", calls, begun=text)

    def _history(self, root: Key, talk: _Talk, whole: str) -> tuple[Segment, ...]:
        """The rendering up to the last of its cuts."""
        history: list[Segment] = []
        at = 0
        for cut in self._cuts(root, talk, whole):
            if cut.end > at:
                number = max(cut.message - talk.added, 0)
                history.append(Segment(whole[at : cut.end], number, cut.key, cut.boundary))
                at = cut.end
        return tuple(history)

    def told(
        self, messages: Sequence[Message], layout: Layout, toolbox: Toolbox = NO_TOOLS
    ) -> tuple[Segment, ...]:
        whole = self._whole(self._talk(messages, toolbox), opened=False)
        before = "".join(segment.text for segment in layout.history)
        known = layout.history if whole.startswith(before) else ()
        rest = whole[len(before) if known else 0 :]
        end = Segment(rest, len(messages) - 1, None, boundary=False)
        return (*known, end) if rest else known

    def between(self, prefix: str, suffix: str) -> None:
        return None

    def canonical(self, message: Message) -> tuple[str, str]:
        if self._calls is None:
            message = EXPLAINED.message(message)
        text = plain(message.content)
        if message.tool_calls:
            text = self._form.answer(text, message.tool_calls)
        return message.role, text

    def _talk(self, messages: Sequence[Message], toolbox: Toolbox) -> _Talk:
        if self._calls is not None:
            return _Talk(tuple(messages), toolbox.tools)
        said = in_words(EXPLAINED, messages, toolbox.tools)
        return _Talk(said, added=len(said) - len(messages))

    def _cuts(self, root: Key, talk: _Talk, whole: str) -> Iterator[_Cut]:
        """After a system message that stands first, and around the last answers."""
        messages = talk.messages
        if messages[0].role == "system":
            system = self._part(talk.up_to(1), whole, opened=False)
            if system is not None:
                yield _Cut(len(system), 0, extend(root, "text", system), boundary=True)
        for number in range(max(1, len(messages) - _BOUNDARIES), len(messages)):
            if messages[number].role == "assistant":
                yield from self._answer_cuts(root, talk, number, whole)

    def _answer_cuts(self, root: Key, talk: _Talk, number: int, whole: str) -> Iterator[_Cut]:
        """Where the answer's prompt ended, and where its words end, before what closes it."""
        prompt = self._part(talk.up_to(number), whole, opened=True)
        if prompt is None:
            return
        key = extend(root, "prompt", prompt)
        yield _Cut(len(prompt), number, prompt_key(key, prompt), boundary=False)
        role, text = self.canonical(talk.messages[number])
        start = len(prompt) + len(whole[len(prompt) :]) - len(whole[len(prompt) :].lstrip())
        if text and whole.startswith(text, start):
            yield _Cut(start + len(text), number, extend(key, role, text), boundary=True)

    def _part(self, talk: _Talk, whole: str, *, opened: bool) -> str | None:
        """The rendering of the first messages, if the whole begins with it."""
        try:
            part = self._render(talk, opened=opened)
        except Exception:  # a template may not know half a conversation
            return None
        return part if whole.startswith(part) else None

    def _phase(self, talk: _Talk, whole: str, thinking: Thinking | None) -> Phase:
        if not self._may_think:
            return "answer"
        try:
            closed = self._render(talk, opened=False, thinking=thinking)
        except Exception:  # it may only know how to ask for an answer
            return "start"
        return phase_of(whole[len(closed) :]) if whole.startswith(closed) else "start"

    def _whole(self, talk: _Talk, thinking: Thinking | None = None, *, opened: bool = True) -> str:
        try:
            return self._render(talk, opened=opened, thinking=thinking)
        except Exception as error:
            raise InvalidRequest(
                f"the chat template {self.name} has no form for these messages: {error}",
                param="messages",
            ) from error

    def _render(self, talk: _Talk, *, opened: bool, thinking: Thinking | None = None) -> str:
        asked = {} if thinking is None else {"enable_thinking": thinking != "none"}
        messages = wire_messages(talk.messages, self._calls)
        return self._rendered(messages, wire_tools(talk.tools), opened=opened, **asked)

    def _rendered(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        *,
        opened: bool,
        **asked: bool,
    ) -> str:
        return self._template.render(
            messages=messages,
            tools=tools,
            add_generation_prompt=opened,
            bos_token="",
            eos_token="",
            **asked,
        )

    def _check(self) -> None:
        """Raises TemplateError where even a question alone cannot be rendered."""
        try:
            text = self._rendered(wire_messages(_PROBE[:1], None), None, opened=True)
        except SecurityError as error:
            raise TemplateError(
                f"the template {self.name} reaches for what templates may not use: {error}"
            ) from error
        except Exception as error:
            raise TemplateError(
                f"the template {self.name} cannot render a question: {error}"
            ) from error
        if _PROBE[0].content not in text:
            raise TemplateError(f"the template {self.name} leaves out what the user says")

    def _find_stops(self) -> tuple[str, ...]:
        """What closes an answer, else what stands between it and the next question."""
        answer, question = _PROBE[1].content, _PROBE[2].content
        try:
            closing = self._render(_Talk(_PROBE[:2]), opened=False).partition(answer)[2].strip()
            between = self._render(_Talk(_PROBE), opened=True).partition(answer)[2]
        except Exception:  # one question may be all it knows
            return ()
        stop = closing or between.partition(question)[0].rstrip()
        return (stop,) if stop else ()
