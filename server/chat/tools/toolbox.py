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

    def expected(self, form: CallForm, thinking: Thinking | None) -> ExpectedCalls | None:
        """What a reader of the answer has to look for.

        An answer that has to call begins with that in its prompt, unless a thought comes before.
        """
        names = frozenset(tool.name for tool in self.callable)
        at_once = self.choice.mode == "required" and thinking in {None, "none"}
        return ExpectedCalls(form, names, form.opening if at_once else "") if names else None


NO_TOOLS = Toolbox()
