"""A chat template written in Jinja, as Hugging Face's tokenizers bring one.

It sees `messages`, `add_generation_prompt`, `bos_token` and `eos_token` (both empty: RWKV has no
text for them), `enable_thinking` where a request says so, and `raise_exception`.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.chat.prompt import Layout, Segment
from server.chat.template.base import TemplateError, plain
from server.chat.thinking import Phase, phase_of
from server.chat.types import Message, SamplingOptions, Thinking
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
        self._template = _compiled(name, source)
        self._check()
        self.stops = self._find_stops()

    def lay_out(
        self, root: Key, messages: Sequence[Message], thinking: Thinking | None = None
    ) -> Layout:
        whole = self._whole(messages, thinking)
        history: list[Segment] = []
        at = 0
        for cut in self._cuts(root, messages, whole):
            if cut.end > at:
                history.append(Segment(whole[at : cut.end], cut.message, cut.key, cut.boundary))
                at = cut.end
        unasked = whole if thinking is None else self._whole(messages)
        key = extend(root, "prompt", unasked)
        opening = Segment(whole[at:], len(messages) - 1, prompt_key(key, whole), boundary=True)
        return Layout(tuple(history), opening, key, self._phase(messages, whole, thinking))

    def told(self, messages: Sequence[Message], layout: Layout) -> tuple[Segment, ...]:
        whole = self._whole(messages, opened=False)
        before = "".join(segment.text for segment in layout.history)
        known = layout.history if whole.startswith(before) else ()
        rest = whole[len(before) if known else 0 :]
        end = Segment(rest, len(messages) - 1, None, boundary=False)
        return (*known, end) if rest else known

    def canonical(self, message: Message) -> tuple[str, str]:
        return message.role, plain(message.content)

    def _cuts(self, root: Key, messages: Sequence[Message], whole: str) -> Iterator[_Cut]:
        """After a system message that stands first, and around the last answers."""
        if messages[0].role == "system":
            system = self._part(messages[:1], whole, opened=False)
            if system is not None:
                yield _Cut(len(system), 0, extend(root, "text", system), boundary=True)
        for number in range(max(1, len(messages) - _BOUNDARIES), len(messages)):
            if messages[number].role == "assistant":
                yield from self._answer_cuts(root, messages, number, whole)

    def _answer_cuts(
        self, root: Key, messages: Sequence[Message], number: int, whole: str
    ) -> Iterator[_Cut]:
        """Where the answer's prompt ended, and where its words end, before what closes it."""
        prompt = self._part(messages[:number], whole, opened=True)
        if prompt is None:
            return
        key = extend(root, "prompt", prompt)
        yield _Cut(len(prompt), number, prompt_key(key, prompt), boundary=False)
        role, text = self.canonical(messages[number])
        start = len(prompt) + len(whole[len(prompt) :]) - len(whole[len(prompt) :].lstrip())
        if text and whole.startswith(text, start):
            yield _Cut(start + len(text), number, extend(key, role, text), boundary=True)

    def _part(self, messages: Sequence[Message], whole: str, *, opened: bool) -> str | None:
        """The rendering of the first messages, if the whole begins with it."""
        try:
            part = self._render(messages, opened=opened)
        except Exception:  # a template may not know half a conversation
            return None
        return part if whole.startswith(part) else None

    def _phase(self, messages: Sequence[Message], whole: str, thinking: Thinking | None) -> Phase:
        if not self._may_think:
            return "answer"
        try:
            closed = self._render(messages, opened=False, thinking=thinking)
        except Exception:  # it may only know how to ask for an answer
            return "start"
        return phase_of(whole[len(closed) :]) if whole.startswith(closed) else "start"

    def _whole(
        self, messages: Sequence[Message], thinking: Thinking | None = None, *, opened: bool = True
    ) -> str:
        try:
            return self._render(messages, opened=opened, thinking=thinking)
        except Exception as error:
            raise InvalidRequest(
                f"the chat template {self.name} has no form for these messages: {error}",
                param="messages",
            ) from error

    def _render(
        self, messages: Sequence[Message], *, opened: bool, thinking: Thinking | None = None
    ) -> str:
        asked = {} if thinking is None else {"enable_thinking": thinking != "none"}
        return self._template.render(
            messages=[
                {"role": role, "content": text} for role, text in map(self.canonical, messages)
            ],
            add_generation_prompt=opened,
            bos_token="",
            eos_token="",
            **asked,
        )

    def _check(self) -> None:
        """Raises TemplateError where even a question alone cannot be rendered."""
        try:
            text = self._render(_PROBE[:1], opened=True)
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
            closing = self._render(_PROBE[:2], opened=False).partition(answer)[2].strip()
            between = self._render(_PROBE, opened=True).partition(answer)[2]
        except Exception:  # one question may be all it knows
            return ()
        stop = closing or between.partition(question)[0].rstrip()
        return (stop,) if stop else ()


def _compiled(name: str, source: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise
    environment.filters["tojson"] = _json
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(
            f"the template {name} is not valid Jinja: {error.message} (line {error.lineno})"
        ) from error


def _json(value: Any, indent: int | None = None) -> str:
    """Without the escapes that Jinja's own filter makes for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: Any) -> NoReturn:
    raise jinja2.TemplateError(str(message))
