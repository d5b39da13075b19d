"""Regular expressions for texts as they stand in a JSON string.

Escapes replace each character by itself, so that the texts of an expression, escaped, are those of
the same expression with its characters and classes replaced. A character that has no short escape
is left out of a class, as everywhere in our JSON. Syntax: https://docs.rs/regex/latest/regex/#syntax
"""

import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np

from models.tokenizer import load
from server.chat.constraint.regex import RegexError
from server.engine.constraint import GrammarError, Vocabulary

_SHORT = {char: json.dumps(char)[1:-1] for char in '"\\\b\f\n\r\t'}
_PLAIN = r'[^"\\\x00-\x1F]'  # what a string holds as it is
_ESCAPE = re.compile(r"\\(?:[xuU]\{[^}]*\}|x..|u....|U.{8}|[pP]\{[^}]*\}|[pP].|.)", re.DOTALL)
_GROUP = re.compile(r"\(\?(?:(?P<flags>[a-zA-Z]*)(?:-(?P<off>[a-zA-Z]+))?[:)]|P?<[^=!>][^>]*>)")
_MOST_CLASSES = 500
_KNOWN_FLAGS = frozenset("isu")


class Classes:
    """Those of one grammar. Each that is new takes a millisecond or two to look into."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def see(self, source: str) -> None:
        """Raises RegexError beyond what can be looked into in a few seconds."""
        self._seen.add(source)
        if len(self._seen) > _MOST_CLASSES:
            raise RegexError(f"more than {_MOST_CLASSES} different classes")


def escaped_regex(pattern: str, flags: str = "", classes: Classes | None = None) -> str:
    """For llguidance, as `pattern` is, with the same flags. Raises RegexError."""
    return "".join(_Image(pattern, flags, classes or Classes()).parts())


def escaped_class(source: str, flags: str = "") -> str:
    """Of a class of characters in brackets."""
    plain = f"[{source}&&{_PLAIN}]"
    found = _specials(source, flags)
    special = "|".join(re.escape(_SHORT[char]) for char in _SHORT if char in found)
    return f"(?:{plain}|(?-i:{special}))" if special else plain


@lru_cache(maxsize=4096)
def _specials(source: str, flags: str) -> frozenset[str]:
    """Those of a class's characters that are escaped, as llguidance itself has it."""
    on = f"(?{flags})" if flags else ""
    lark = f"start: /{on}{source}/"
    try:
        start = _bytes().compile(json.dumps({"grammars": [{"lark_grammar": lark}]}))
    except GrammarError as error:
        raise RegexError(f"the class {source[:40]}") from error
    bits = np.unpackbits(start.matcher().mask().view(np.uint8), bitorder="little")
    return frozenset(char for char in _SHORT if bits[ord(char)])


@cache
def _bytes() -> Vocabulary:
    return Vocabulary(load("bytes", 256), 256)


class _Image:
    """One pass over a pattern."""

    def __init__(self, pattern: str, flags: str, classes: Classes) -> None:
        self._pattern = pattern
        self._classes = classes
        self._at = 0
        self._open = [self._checked(flags)]  # flags, of what is open; the innermost last

    def parts(self) -> Iterator[str]:
        while self._at < len(self._pattern):
            char = self._pattern[self._at]
            match char:
                case "\\":
                    yield self._class(f"[{self._matched(_ESCAPE)}]")
                case "[":
                    yield self._class(self._brackets())
                case ".":
                    self._at += 1
                    yield self._class(r"[\s\S]" if "s" in self._open[-1] else r"[^\n]")
                case "(":
                    yield self._group()
                case _:
                    self._at += 1
                    if char == ")" and len(self._open) > 1:
                        self._open.pop()
                    yield f"(?-i:{re.escape(_SHORT[char])})" if char in _SHORT else char

    def _class(self, source: str) -> str:
        self._classes.see(source)
        return escaped_class(source, "".join(sorted(self._open[-1] & {"i"})))

    def _matched(self, what: re.Pattern[str]) -> str:
        found = what.match(self._pattern, self._at)
        if found is None:
            raise RegexError(f"{self._pattern[self._at : self._at + 8]!r}")
        self._at = found.end()
        return found[0]

    def _brackets(self) -> str:
        """A class to its end, with those within it."""
        start, depth = self._at, 0
        while self._at < len(self._pattern):
            char = self._pattern[self._at]
            if char == "\\":
                self._matched(_ESCAPE)
                continue
            self._at += 1
            depth += {"[": 1, "]": -1}.get(char, 0)
            if char == "[":  # a bracket that comes first is a character
                self._at += self._pattern.startswith("^", self._at)
                self._at += self._pattern.startswith("]", self._at)
            if depth == 0:
                return self._pattern[start : self._at]
        raise RegexError("a class has no end")

    def _group(self) -> str:
        if not self._pattern.startswith("(?", self._at):
            self._at += 1
            self._open.append(self._open[-1])
            return "("
        found = _GROUP.match(self._pattern, self._at)
        if found is None:
            raise RegexError(f"the group {self._pattern[self._at : self._at + 4]!r}")
        self._at = found.end()
        flags = self._open[-1] | self._checked(found["flags"] or "")
        flags -= self._checked(found["off"] or "")
        if found[0].endswith(")"):
            self._open[-1] = flags
        else:
            self._open.append(flags)
        return found[0]

    def _checked(self, flags: str) -> frozenset[str]:
        if unknown := set(flags) - _KNOWN_FLAGS:
            raise RegexError(f"the flag {min(unknown)!r}")
        return frozenset(flags)
