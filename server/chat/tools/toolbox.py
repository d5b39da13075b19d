"""What a turn may call, and whether it has to."""

from dataclasses import dataclass

from server.chat.tools.form import CallForm, ExpectedCalls
from server.chat.types import Thinking, Tool, ToolChoice, TurnRequest


@dataclass(frozen=True, slots=True)
class Toolbox:
    """tools: those that the model is told of. callable: those of them that it may call.

    parallel: an answer may have several calls.
    """

    tools: tuple[Tool, ...] = ()
    callable: tuple[Tool, ...] = ()
    required: bool = False
    parallel: bool = True

    def expected(self, form: CallForm, thinking: Thinking | None) -> ExpectedCalls | None:
        """What a reader of the answer has to look for.

        An answer that has to call begins with that in its prompt, unless a thought comes before.
        """
        if not self.callable:
            return None
        begun = form.opening if self.required and thinking in {None, "none"} else ""
        names = frozenset(tool.name for tool in self.callable)
        strict = frozenset(tool.name for tool in self.callable if tool.strict)
        custom = frozenset(tool.name for tool in self.callable if tool.custom)
        return ExpectedCalls(
            form, names, begun, held=True, strict=strict, custom=custom, required=self.required
        )


NO_TOOLS = Toolbox()


def toolbox(tools: tuple[Tool, ...], choice: ToolChoice, *, parallel: bool = True) -> Toolbox:
    """A model that may call none is not told of any; where it may call some, of all."""
    if choice.mode == "none" or not tools:
        return NO_TOOLS
    callable = tuple(tool for tool in tools if not choice.names or tool.name in choice.names)
    return Toolbox(tools, callable, choice.mode == "required", parallel)


def toolbox_of(request: TurnRequest) -> Toolbox:
    return toolbox(request.tools, request.tool_choice, parallel=request.parallel_tool_calls)
