"""What a turn may call, and whether it has to."""

from dataclasses import dataclass, field

from server.chat.tools.form import CallForm, ExpectedCalls
from server.chat.types import Thinking, Tool, ToolChoice, TurnRequest


@dataclass(frozen=True, slots=True)
class Toolbox:
    """parallel: an answer may have several calls."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    parallel: bool = True

    @classmethod
    def of(cls, request: TurnRequest) -> "Toolbox":
        return cls(request.tools, request.tool_choice, request.parallel_tool_calls)

    @property
    def callable(self) -> tuple[Tool, ...]:
        """Those that may be called; all of them are listed, so that a state is found again."""
        if self.choice.mode == "none":
            return ()
        chosen = self.choice.names
        return tuple(tool for tool in self.tools if not chosen or tool.name in chosen)

    @property
    def required(self) -> bool:
        return self.choice.mode == "required"

    def expected(self, form: CallForm, thinking: Thinking | None) -> ExpectedCalls | None:
        """What a reader of the answer has to look for, where there are tools.

        An answer that has to call begins with that in its prompt, unless a thought comes before.
        """
        if not self.tools:
            return None
        begun = form.opening if self.required and thinking in {None, "none"} else ""
        names = frozenset(tool.name for tool in self.callable)
        strict = frozenset(tool.name for tool in self.callable if tool.strict)
        return ExpectedCalls(form, names, begun, held=True, strict=strict)


NO_TOOLS = Toolbox()
