"""The form of a call: `{"name": …, "arguments": {…}}` between two marks."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from server.chat.tools.arguments import canonical_arguments
from server.chat.types import ToolCall

HEAD = '{"name": "'  # what follows is the name
BETWEEN = ', "arguments": '
# As models are shown it, and in any other way that is JSON.
_PLAIN_HEAD = r'[ \n]{0,2}\{ ?"name": ?"'
_ANY_HEAD = r'[ \n\t]*\{[ \n\t]*"name"[ \n\t]*:[ \n\t]*"'


@dataclass(frozen=True, slots=True)
class CallForm:
    """`before` and `after` stand around the object, with the white space that belongs to them.

    That white space is written, but not asked for when a call is read.
    """

    before: str
    after: str

    @property
    def opening(self) -> str:
        return self.before.strip()

    @property
    def closing(self) -> str:
        return self.after.strip()

    @property
    def begun(self) -> str:
        """A regular expression of a beginning that has to be a call's.

        A block of code may hold JSON that is none, so there the head has to be as it was shown.
        """
        head = _PLAIN_HEAD if self.opening.startswith("```") else _ANY_HEAD
        return re.escape(self.opening).replace("/", r"\/") + head

    def call(self, name: str, arguments: str) -> str:
        """A call as a model is shown it; arguments: as text."""
        quoted = json.dumps(name, ensure_ascii=False)[1:]
        return f"{self.before}{HEAD}{quoted}{BETWEEN}{canonical_arguments(arguments)}}}{self.after}"

    def answer(self, content: str, calls: Sequence[ToolCall]) -> str:
        """A whole answer, calls after the content, each on lines of its own; ids left out."""
        parts = [content] if content else []
        return "\n".join([*parts, *(self.call(one.name, one.arguments) for one in calls)])


FENCED = CallForm("```json\n", "\n```")


@dataclass(frozen=True, slots=True)
class ExpectedCalls:
    """The calls an answer may have; without names there are none.

    begun: what of their form the prompt ends in. held: what begins as CallForm.begun says goes on
    as a call. strict: those of the names that are called in no other way. custom: those of custom
    tools. required: the answer has to be calls.
    """

    form: CallForm
    names: frozenset[str]
    begun: str = ""
    held: bool = False
    strict: frozenset[str] = frozenset()
    custom: frozenset[str] = frozenset()
    required: bool = False
