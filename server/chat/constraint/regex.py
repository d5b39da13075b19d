"""Regular expressions as clients write them (ECMAScript, Python), for the regex syntax of Rust.

What the dialects read differently becomes what all of them accept: `\\w` is ASCII, but `\\W`
leaves out every letter; `.` stops at every end of a line. What cannot be translated is refused.
"""

from collections.abc import Iterator, Mapping

LONGEST = 4096  # characters

_ANY = "(?s:.*)"
_CLASSES: Mapping[str, str] = {
    "d": "[0-9]",
    "D": r"\P{Nd}",
    "w": "[0-9A-Za-z_]",
    "W": r"[^\p{Alphabetic}\p{M}\p{N}\p{Pc}\x{200C}\x{200D}]",
    "s": r"[ \t\n\r\f\v]",
    "S": r"[^\p{White_Space}\x{1C}-\x{1F}\x{FEFF}]",
}
# Within a negated class, where what is named is what must not be there.
_WIDE_CLASSES: Mapping[str, str] = {
    "d": r"\p{Nd}",
    "D": "[^0-9]",
    "w": r"\p{Alphabetic}\p{M}\p{N}\p{Pc}\x{200C}\x{200D}",
    "W": "[^0-9A-Za-z_]",
    "s": r"\p{White_Space}\x{1C}-\x{1F}\x{FEFF}",
    "S": r"[^ \t\n\r\f\v]",
}
_DOT = r"[^\n\r\x{2028}\x{2029}]"
_HEX_DIGITS: Mapping[str, int] = {"x": 2, "u": 4}
_REFUSED: Mapping[str, str] = {
    "b": "the word boundary \\b",
    "B": "the word boundary \\B",
    "A": "the anchor \\A",
    "Z": "the anchor \\Z",
    "z": "the anchor \\z",
    "k": "the back reference \\k",
}


class RegexError(ValueError):
    """A regular expression that cannot be enforced; the message says which part of it."""


def whole(pattern: str) -> str:
    """For texts that match from their beginning to their end. Raises RegexError."""
    return "|".join(body for body, _, _ in _alternatives(pattern))


def anywhere(pattern: str) -> str:
    """For whole texts that have a match in some place, as JSON schemas mean it."""
    parts = [
        f"{'' if begins else _ANY}(?:{body}){'' if ends else _ANY}"
        for body, begins, ends in _alternatives(pattern)
    ]
    return "|".join(parts)


def _alternatives(pattern: str) -> Iterator[tuple[str, bool, bool]]:
    """The outermost alternatives, and whether each is anchored to the beginning and the end."""
    if len(pattern) > LONGEST:
        raise RegexError(f"it has {len(pattern)} characters, more than {LONGEST}")
    return _Translation(pattern).alternatives()


class _Translation:
    """One pass over a pattern."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> Iterator[tuple[str, bool, bool]]:
        depth = 0
        parts: list[str] = []
        begins = ends = False
        while (char := self._take()) is not None:
            if ends and char != "|":
                raise RegexError("the anchor $ stands before more text")
            if char == "|" and depth == 0:
                yield "".join(parts), begins, ends
                parts, begins, ends = [], False, False
            elif char == "^" and depth == 0 and not parts:
                begins = True
            elif char == "$" and depth == 0:
                ends = True
            elif char in "^$":
                raise RegexError(f"the anchor {char} stands within a group or text")
            else:
                depth += {"(": 1, ")": -1}.get(char, 0)
                if depth < 0:
                    raise RegexError("a ) ends no group")
                parts.append(self._piece(char))
        if depth:
            raise RegexError("a group has no end")
        yield "".join(parts), begins, ends

    def _take(self) -> str | None:
        char = self._pattern[self._at : self._at + 1]
        self._at += 1
        return char or None

    def _peek(self, count: int = 1) -> str:
        return self._pattern[self._at : self._at + count]

    def _piece(self, char: str) -> str:
        match char:
            case "\\":
                return self._escape(_CLASSES)
            case "[":
                return self._class()
            case "(":
                return self._group()
            case ".":
                return _DOT
            case "*" | "+" | "?" | "}" if self._peek() == "+":
                raise RegexError(f"the possessive quantifier {char}+")
            case "{" if self._peek() == ",":
                raise RegexError("the quantifier {, without a least number")
            case "/":
                return r"\x2F"
        return char

    def _group(self) -> str:
        """Names of groups are of no use here, and dialects differ in them."""
        if self._peek() != "?":
            return "("
        for opening in ("?:", "?P<", "?<"):
            if self._peek(len(opening)) == opening and self._peek(3) not in {"?<=", "?<!"}:
                self._at += len(opening)
                if opening != "?:":
                    end = self._pattern.find(">", self._at)
                    self._at = end + 1 if end >= 0 else len(self._pattern)
                return "(?:"
        raise RegexError(f"the group ({self._peek(3)} (look-around, flags and conditions)")

    def _class(self) -> str:
        negated = self._peek() == "^"
        self._at += negated
        if self._peek() == "]":
            raise RegexError("the empty class []")
        parts = ["[^" if negated else "["]
        while (char := self._take()) != "]":
            if char is None:
                raise RegexError("a class has no end")
            if char == "\\":
                parts.append(self._escape(_WIDE_CLASSES if negated else _CLASSES, in_class=True))
            elif char in "[&~/":
                parts.append(f"\\x{ord(char):02X}")
            elif char == "-" and self._peek() == "-":
                parts.append(r"-\x2D")
                self._at += 1
            else:
                parts.append(char)
        return "".join(parts) + "]"

    def _escape(self, classes: Mapping[str, str], *, in_class: bool = False) -> str:
        char = self._take()
        if char is None:
            raise RegexError("it ends in a backslash")
        if in_class and char == "b":
            return r"\x08"
        if char in _REFUSED:
            raise RegexError(_REFUSED[char])
        kept = char in "nrtfv" or (char in "pP" and self._peek() == "{")
        return f"\\{char}" if kept else classes.get(char) or self._character(char)

    def _character(self, char: str) -> str:
        """What an escape stands for that means one character."""
        if char in _HEX_DIGITS:
            return self._code(_HEX_DIGITS[char])
        if char == "0" and not self._peek().isdigit():
            return r"\x00"
        if char.isalnum():
            raise RegexError(f"the escape \\{char}")
        return f"\\x{{{ord(char):X}}}"

    def _code(self, digits: int) -> str:
        """The character with a code in hexadecimal digits, or in braces."""
        if self._peek() == "{":
            end = self._pattern.find("}", self._at)
            code, self._at = self._pattern[self._at + 1 : end], end + 1
        else:
            code, self._at = self._peek(digits), self._at + digits
        try:
            number = int(code, 16)
        except ValueError:
            raise RegexError(f"the code {code!r} is not hexadecimal") from None
        if 0xD800 <= number < 0xE000 or number > 0x10FFFF:
            raise RegexError(f"the code {code} is no character")
        return f"\\x{{{number:X}}}"
