"""Ids in OpenAI's style. The id of a response's item holds the response's own.

So a reference to an item finds it without an index that would have to be kept beside.
"""

import re
from typing import Literal

from server.chance import fresh_hex

_ITEM = re.compile(r"[a-z]+_([0-9a-f]{32})[io]\d+")
_PARTS = re.compile("[_-]")  # resp_… and chatcmpl-…
PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}


def new_id(prefix: str) -> str:
    """One that no other thing has."""
    return f"{prefix}_{fresh_hex(16)}"


def item_id(kind: str, answer: str, side: Literal["i", "o"], number: int) -> str:
    """Of the so manieth item that went into, or came out of, the answer with that id."""
    _, own = _PARTS.split(answer)
    return f"{PREFIXES[kind]}_{own}{side}{number}"


def response_of(item: str) -> str | None:
    """The id of the response that an item belongs to, if its own says so."""
    found = _ITEM.fullmatch(item)
    return f"resp_{found[1]}" if found else None
