"""The form of a call: `{"name": …, "arguments": {…}}` between two marks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from server.chat.tools.arguments import canonical_arguments
from server.chat.types import ToolCall


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

    def call(self, name: str, arguments: str) -> str:
        """A call as a model is shown it; arguments: as text."""
        quoted = json.dumps(name, ensure_ascii=False)
        body = f'{{"name": {quoted}, "arguments": {canonical_arguments(arguments)}}}'
        return f"{self.before}{body}{self.after}"

    def answer(self, content: str, calls: Sequence[ToolCall]) -> str:
        """A whole answer, calls after the content, each on lines of its own; ids left out."""
        parts = [content] if content else []
        return "\n".join([*parts, *(self.call(one.name, one.arguments) for one in calls)])


FENCED = CallForm("```json\n", "\n```")


@dataclass(frozen=True, slots=True)
class ExpectedCalls:
    """The calls an answer may have. begun: what of their form the prompt ends in."""

    form: CallForm
    names: frozenset[str]
    begun: str = ""
