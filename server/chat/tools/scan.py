"""JSON read character by character, as it is written: is this a call, and has it ended?"""

import json
import re
from collections.abc import Collection
from typing import Literal

_SPACE = frozenset(" \t\n\r")
_SCALAR = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|true|false|null")
_ESCAPED = frozenset('"\\/bfnrt')
_HEX = frozenset("0123456789abcdefABCDEF")

# What comes next: a value, a value or the end of a list, a key, a key or the end of an object,
# a colon, a comma or an end; or what goes on: a string, an escape in it, a number or word.
_Next = Literal["value", "item", "key", "member", "colon", "comma", "string", "escape", "scalar"]


class JsonScanner:
    """Takes the characters of one string or object; push() is False for what is no JSON."""

    def __init__(self) -> None:
        self._next: _Next = "value"
        self._open: list[str] = []  # the ends of what is open, innermost last
        self._scalar = ""
        self._hex = 0  # digits of an escape that are still to come
        self._key = False  # the string is a key
        self.done = False

    def push(self, char: str) -> bool:
        match self._next:
            case "string":
                return self._in_string(char)
            case "escape":
                return self._in_escape(char)
            case "scalar" if char not in ",]}" and char not in _SPACE:
                self._scalar += char
                return True
            case "scalar":
                return bool(_SCALAR.fullmatch(self._scalar)) and self._ended() and self.push(char)
        return char in _SPACE or self._between(char)

    def _between(self, char: str) -> bool:
        """A character outside of strings and scalars."""
        if char in "]}":
            return self._close(char)
        match self._next:
            case "colon" if char == ":":
                self._next = "value"
            case "comma" if char == ",":
                self._next = "key" if self._open[-1] == "}" else "value"
            case "key" | "member" if char == '"':
                self._next, self._key = "string", True
            case "value" | "item":
                self._begin(char)
            case _:
                return False
        return True

    def _begin(self, char: str) -> None:
        if char == '"':
            self._next, self._key = "string", False
        elif char in "{[":
            self._open.append("}" if char == "{" else "]")
            self._next = "member" if char == "{" else "item"
        else:
            self._next, self._scalar = "scalar", char

    def _close(self, char: str) -> bool:
        first = "member" if char == "}" else "item"
        if not self._open or self._open[-1] != char or self._next not in {"comma", first}:
            return False
        self._open.pop()
        return self._ended()

    def _ended(self) -> bool:
        """After a value."""
        self._next = "comma"
        self.done = not self._open
        return True

    def _in_string(self, char: str) -> bool:
        if char == "\\":
            self._next = "escape"
        elif char == '"' and self._key:
            self._next = "colon"
        elif char == '"':
            return self._ended()
        return char >= " "

    def _in_escape(self, char: str) -> bool:
        if self._hex:
            self._hex -= 1
            self._next = "escape" if self._hex else "string"
            return char in _HEX
        if char == "u":
            self._hex = 4
            return True
        self._next = "string"
        return char in _ESCAPED


class CallScanner:
    """Takes the characters of `{"name": …, "arguments": {…}}`; push() is False for anything else.

    names: what may be called. name: once it was read. arguments: those have begun.
    """

    _FORM = ("{", '"name"', ":", "name", ",", '"arguments"', ":", "arguments", "}")

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self._part = 0
        self._read = ""  # of the part
        self._value = JsonScanner()
        self._new: list[str] = []  # of the arguments
        self.name: str | None = None
        self.arguments = False

    @property
    def done(self) -> bool:
        return self._part == len(self._FORM)

    def push(self, char: str) -> bool:
        """Not after the end."""
        if not self._read and char in _SPACE:
            return True
        part = self._FORM[self._part]
        if part == "arguments":
            return self._in_arguments(char)
        self._read += char
        if part == "name":
            return self._in_name()
        if self._read == part:
            self._advance()
            return True
        return part.startswith(self._read)

    def take(self) -> str:
        """What was read of the arguments since the last time."""
        text = "".join(self._new)
        self._new.clear()
        return text

    def _in_name(self) -> bool:
        if not self._read.startswith('"') or not self._value.push(self._read[-1]):
            return False
        if not self._value.done:
            return True
        self.name = json.loads(self._read)
        self._advance()
        return self.name in self._names

    def _in_arguments(self, char: str) -> bool:
        self._read = self._read or char
        if self._read != "{" or not self._value.push(char):
            return False
        self.arguments = True
        self._new.append(char)
        if self._value.done:
            self._advance()
        return True

    def _advance(self) -> None:
        self._part += 1
        self._read, self._value = "", JsonScanner()
