"""Tools: how a model is told of them, and how its calls are told apart from what it says.

A call is a JSON object between two marks, a `CallForm`. Templates choose the marks and the words
in which tools are listed; the rest is the same for all of them.
"""

from server.chat.tools.arguments import canonical_arguments, parsed_arguments
from server.chat.tools.custom import (
    INPUT_HEAD,
    INPUT_TAIL,
    InputReader,
    custom_tool,
    input_arguments,
    input_text,
)
from server.chat.tools.form import BETWEEN, FENCED, HEAD, CallForm, ExpectedCalls
from server.chat.tools.listing import ToolListing
from server.chat.tools.split import CallPiece, CallSplitter, ContentPiece, Piece
from server.chat.tools.toolbox import NO_TOOLS, Toolbox, toolbox, toolbox_of
from server.chat.tools.words import EXPLAINED, Worded, in_words

__all__ = [
    "BETWEEN",
    "EXPLAINED",
    "FENCED",
    "HEAD",
    "INPUT_HEAD",
    "INPUT_TAIL",
    "NO_TOOLS",
    "CallForm",
    "CallPiece",
    "CallSplitter",
    "ContentPiece",
    "ExpectedCalls",
    "InputReader",
    "Piece",
    "ToolListing",
    "Toolbox",
    "Worded",
    "canonical_arguments",
    "custom_tool",
    "in_words",
    "input_arguments",
    "input_text",
    "parsed_arguments",
    "toolbox",
    "toolbox_of",
]
