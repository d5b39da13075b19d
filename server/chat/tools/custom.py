"""Custom tools: what they are called with is a text, not an object.

To a model such a tool is a function of one argument, `input`, so that its calls have the form of
all others, and end where they end whatever is in the text.
"""

import json
import re

from server.chat.tools.arguments import parsed_arguments
from server.chat.types import Constraint, Tool

INPUT = "input"
INPUT_HEAD = f'{{"{INPUT}": "'  # what follows is the text, escaped
INPUT_TAIL = '"}'
_HEAD = re.compile(rf'\s*\{{\s*"{INPUT}"\s*:\s*"')
# What of a string is whole: a surrogate pair is two escapes.
_WHOLE = re.compile(
    r'(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4})*"
)


def custom_tool(name: str, description: str, form: Constraint | None, param: str) -> Tool:
    """form: what the text has to be, None for any. param: the request's field of the tool."""
    about: dict[str, str] = {"type": "string"}
    if form is not None:
        kind = "text that matches" if form.kind == "regex" else "text of the Lark grammar"
        about["description"] = f"{kind} {form.source}"
    parameters = {
        "type": "object",
        "properties": {INPUT: about},
        "required": [INPUT],
        "additionalProperties": False,
    }
    return Tool(name, description, parameters, strict=True, param=param, custom=True, form=form)


def input_arguments(text: str) -> str:
    """A call's arguments, as a model writes them."""
    return json.dumps({INPUT: text}, ensure_ascii=False)


def input_text(arguments: str) -> str:
    """The text of a call, as far as it was written."""
    value = parsed_arguments(arguments)
    if isinstance(value, dict) and isinstance(text := value.get(INPUT), str):
        return text
    return InputReader().push(arguments)


class InputReader:
    """The text of one call, from its arguments in pieces."""

    def __init__(self) -> None:
        self._held = ""  # not yet whole
        self._begun = False

    def push(self, piece: str) -> str:
        self._held += piece
        if not self._begun:
            head = _HEAD.match(self._held)
            if head is None:
                return ""
            self._begun, self._held = True, self._held[head.end() :]
        found = _WHOLE.match(self._held)
        assert found is not None  # it may be empty
        self._held = self._held[found.end() :]
        text: str = json.loads(f'"{found[0]}"', strict=False)
        return text
