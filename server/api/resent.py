"""Bodies that begin as an earlier one did: what stands in their messages is parsed once.

A client that goes on in a conversation sends the same bytes once more, and then some. The messages
are the same objects then, which whoever reads them knows again at once, and nobody may change.
"""

import re
import secrets
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from json import JSONDecoder
from typing import Any

from pydantic_core import from_json

SENDER: ContextVar[str] = ContextVar("sender", default="")  # the caller whose body is read

_BODIES = 64
_CHARACTERS = 2**23  # of all of them
_FEW = 8  # messages that it is not worth comparing with more bodies for
_LIST = "messages"
_MARK = secrets.token_hex()  # stands for messages that are known; no body has it

_element = JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class _Body:
    """text: up to the end of the last message. begin: of the first one, ends: of all of them."""

    sender: str
    text: str
    messages: list[Any]
    begin: int
    ends: list[int]

    def shared(self, text: str) -> int:
        """How many of the messages another body begins with, character for character."""
        if text.startswith(self.text):
            return len(self.ends)
        low = int(text.startswith(self.text[: self.ends[0]]))
        high = len(self.ends) - 1 if low else 0
        while low < high:
            middle = (low + high + 1) // 2
            part = slice(self.ends[low - 1], self.ends[middle - 1])
            low, high = (middle, high) if text[part] == self.text[part] else (low, middle - 1)
        return low

    def go_on(self, text: str, shared: int) -> dict[str, Any] | None:
        """The JSON of a body that begins with so many of them; None for one that is odd."""
        rest = text[self.ends[shared - 1] :]
        try:
            value: dict[str, Any] = from_json(
                f'{text[: self.begin]}"{_MARK}"{rest}', allow_inf_nan=False
            )
        except ValueError:
            return None
        messages = value[_LIST]
        if not isinstance(messages, list) or messages[:1] != [_MARK]:
            return None  # of two lists the last one counts
        value[_LIST] = [*self.messages[:shared], *messages[1:]]
        return value


class Bodies:
    """The latest bodies with messages; one is known by those of the same sender only."""

    def __init__(self) -> None:
        self._latest: list[_Body] = []  # the latest first

    def parse(self, data: bytes) -> Any:
        """The JSON of a body. Raises ValueError."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return from_json(data, allow_inf_nan=False)  # which says where it is none
        near, shared = self._nearest(text)
        value = near.go_on(text, shared) if near is not None else None
        if value is None:
            near, value = None, from_json(data, allow_inf_nan=False)
        body = _body(text, value, near, shared)
        if body is not None:
            replaced = near if near is not None and shared == len(near.ends) else None
            others = (one for one in self._latest if one is not replaced)
            self._latest = list(_fitting((body, *others)))
        return value

    def forget(self) -> None:
        """All of it."""
        self._latest = []

    def _nearest(self, text: str) -> tuple[_Body | None, int]:
        """The one that begins most like this text, and how many messages they share."""
        sender, nearest, most = SENDER.get(), None, 0
        for body in self._latest:
            shared = body.shared(text) if body.sender == sender else 0
            if shared > most:
                nearest, most = body, shared
            if shared and shared + _FEW >= len(body.ends):
                break
        return nearest, most


def _body(text: str, value: Any, near: _Body | None, shared: int) -> _Body | None:
    """What there is to know of a body, whose JSON is `value`; None for one that is odd."""
    messages = value.get(_LIST) if isinstance(value, dict) else None
    if not isinstance(messages, list) or not messages or len(text) > _CHARACTERS:
        return None
    if near is not None:
        ends = [*near.ends[:shared], *_ends(text, near.ends[shared - 1])]
        return _Body(near.sender, text[: ends[-1]], messages, near.begin, ends)
    try:
        begin = _begin(text)
        ends = list(_ends(text, begin))
        body = _Body(SENDER.get(), text[: ends[-1]], messages, begin, ends)
    except (ValueError, IndexError):
        return None
    return body if body.go_on(text, len(ends)) == value else None


def _begin(text: str) -> int:
    """Where in an object the list of messages begins, behind its bracket."""
    at = _skip(text, 0) + 1
    while True:
        key, at = _element(text, _skip(text, at))
        at = _skip(text, _skip(text, at) + 1)
        if key == _LIST:
            return at + 1
        _, at = _element(text, at)
        at = _skip(text, at) + 1


def _ends(text: str, at: int) -> Iterator[int]:
    """Where the elements of a list end, from within it on."""
    while text[at := _skip(text, at)] != "]":
        if text[at] == ",":
            at = _skip(text, at + 1)
        _, at = _element(text, at)
        yield at


def _skip(text: str, at: int) -> int:
    """Past white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _fitting(latest: Iterable[_Body]) -> Iterator[_Body]:
    """Those within the bounds; the first come first."""
    bodies, characters = _BODIES, _CHARACTERS  # that may still come
    for body in latest:
        if bodies and len(body.text) <= characters:
            bodies, characters = bodies - 1, characters - len(body.text)
            yield body


BODIES = Bodies()
