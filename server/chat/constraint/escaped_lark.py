"""Lark grammars for texts as they stand in a JSON string: `escaped_regex` for their terminals.

Rules say how terminals follow each other, and stay as they are. What has no terminals that can be
replaced is refused. Syntax: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
"""

import json
import re
from collections.abc import Mapping
from functools import partial

from server.chat.constraint.escaped_regex import Classes, escaped_class, escaped_regex
from server.chat.constraint.regex import RegexError

_STRING = r'"(?:\\.|[^"\\\n])*"'
_PARTS = re.compile(
    rf"""(?P<comment>(?:\#|//)[^\n]*)
    |(?P<range>{_STRING}[ \t]*\.\.[ \t]*{_STRING})
    |(?P<string>{_STRING}i?)
    |(?P<regex>/(?:\\.|[^/\\])+/[a-z]*)
    |(?P<import>%import[^\n]*)
    |(?P<ignore>%ignore\b)
    |(?P<other>%\w+|~(?![ \t]*\d)|<[^<>\s]+>|@[\w-]+)
    """,
    re.VERBOSE,
)
_IMPORT = re.compile(
    r"%import[ \t]+common[ \t]*(?:\.[ \t]*(?P<one>\w+)(?:[ \t]*->[ \t]*(?P<as>\w+))?"
    r"|\((?P<many>[\w, \t]+)\))[ \t]*(?://.*|\#.*)?"
)
# Those of llguidance's terminals that have characters to be escaped.
_COMMON: Mapping[str, str] = {
    "ESCAPED_STRING": r'"([^"\\]|\\.)*"',
    "WS_INLINE": r"[ \t]+",
    "WS": r"[ \t\f\r\n]+",
    "CR": r"\r",
    "LF": r"\n",
    "NEWLINE": r"(\r?\n)+",
    "SH_COMMENT": r"#[^\n]*",
    "CPP_COMMENT": r"\/\/[^\n]*",
    "C_COMMENT": r"\/\*(\*[^\/]|[^*])*\*\/",
    "SQL_COMMENT": r"--[^\n]*",
}


def escaped_lark(source: str) -> str:
    """For llguidance, as `source` is. Raises RegexError for what cannot be escaped."""
    return _PARTS.sub(partial(_image, Classes()), source)


def _image(classes: Classes, found: re.Match[str]) -> str:
    text = found[0]
    match found.lastgroup:
        case "string":
            return _literal(text)
        case "range":
            first, last = (_value(one) for one in re.findall(_STRING, text))
            if len(first) != 1 or len(last) != 1:
                raise RegexError(f"the range {text[:40]}")
            between = f"[{_code(first)}-{_code(last)}]"
            classes.see(between)
            return f"/{escaped_class(between)}/"
        case "regex":
            pattern, _, flags = text[1:].rpartition("/")
            return f"/{escaped_regex(pattern, flags, classes)}/{flags}"
        case "import":
            return _imported(text)
        case "other":
            raise RegexError(text[:40])
    return text


def _literal(text: str) -> str:
    """Of which the letters may come in either case, but not those of escapes."""
    escaped = json.dumps(_value(text.removesuffix("i")), ensure_ascii=False)[1:-1]
    if not text.endswith("i") or "\\" not in escaped:
        return json.dumps(escaped, ensure_ascii=False) + text[text.rindex('"') + 1 :]
    parts = re.findall(r"\\u....|\\.|[^\\]+", escaped)
    return f"({' '.join(_part(part) for part in parts)})"


def _part(text: str) -> str:
    return json.dumps(text, ensure_ascii=False) + ("" if text.startswith("\\") else "i")


def _value(text: str) -> str:
    try:
        value: str = json.loads(text)
        value.encode()
    except ValueError as error:
        raise RegexError(f"the string {text[:40]}") from error
    return value


def _code(char: str) -> str:
    return f"\\x{{{ord(char):X}}}"


def _imported(line: str) -> str:
    found = _IMPORT.fullmatch(line)
    if found is None:
        raise RegexError(line[:40])
    names = {found["one"]: found["as"] or found["one"]} if found["one"] else {}
    names |= {name.strip(): name.strip() for name in (found["many"] or "").split(",") if name}
    return "\n".join(
        f"{own}: /{escaped_regex(_COMMON[name])}/"
        if name in _COMMON
        else f"%import common.{name} -> {own}"
        for name, own in names.items()
    )
