"""From the body of a request for a message to the turn it asks for."""

import json
from collections.abc import Iterator

from server.api.chat.turn import EFFORTS, allowed_thinking
from server.api.going_on import check_answer_begun
from server.api.messages.request import (
    AnthropicMessage,
    MessagesBody,
    ReadFields,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from server.api.tools import Chosen, FunctionFields, required_tool, tools_at
from server.chat.types import (
    Constraint,
    Message,
    SamplingOptions,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    TurnRequest,
)
from server.errors import InvalidRequest

_LITTLE, _MUCH = 4_096, 16_384  # tokens of thoughts below which they are few, and are not many


def turn_request(body: MessagesBody, *, caller: str, thinks: bool) -> TurnRequest:
    """What the chat service is asked. Raises InvalidRequest."""
    read = prompt_request(body, caller=caller, thinks=thinks)
    return TurnRequest(
        caller=caller,
        messages=read.messages,
        max_tokens=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
        sampling=SamplingOptions(temperature=body.temperature, top_p=body.top_p, top_k=body.top_k),
        thinking=read.thinking,
        tools=read.tools,
        tool_choice=read.tool_choice,
        parallel_tool_calls=read.parallel_tool_calls,
        constraint=read.constraint,
        goes_on=read.goes_on,
    )


def prompt_request(body: ReadFields, *, caller: str, thinks: bool) -> TurnRequest:
    """The part of it that says what the model reads. Raises InvalidRequest."""
    tools = _tools(body)
    choice = body.tool_choice
    read = TurnRequest(
        caller=caller,
        messages=(*_system(body), *_Conversation().read(body.messages)),
        goes_on=body.messages[-1].role == "assistant",
        thinking=_thinking(body, thinks=thinks),
        tools=tools,
        tool_choice=_choice(body, tools),
        parallel_tool_calls=choice is None or not choice.disable_parallel_tool_use,
        constraint=_constraint(body),
    )
    if read.goes_on:
        check_answer_begun(read, f"messages.{len(body.messages) - 1}")
    return read


def _system(body: ReadFields) -> Iterator[Message]:
    if body.system:
        said = body.system
        text = said if isinstance(said, str) else "\n".join(block.text for block in said)
        yield Message("system", text)


class _Conversation:
    """Reads messages in their order; a result has to belong to a call before it."""

    def __init__(self) -> None:
        self._ids: set[str] = set()

    def read(self, messages: list[AnthropicMessage]) -> Iterator[Message]:
        """Raises InvalidRequest, naming the block at fault."""
        for number, message in enumerate(messages):
            place = f"messages.{number}.content"
            content = message.content
            if message.role == "assistant":
                yield self._answer(message, place)
            elif isinstance(content, str):
                yield Message(message.role, content)
            else:
                yield from self._said(message, place)

    def _answer(self, message: AnthropicMessage, place: str) -> Message:
        if isinstance(message.content, str):
            return Message("assistant", message.content)
        text, calls = "", []
        for number, block in enumerate(message.content):
            if isinstance(block, TextBlock):
                text += block.text
            elif isinstance(block, ToolUseBlock):
                calls.append(self._call(block, f"{place}.{number}"))
            elif isinstance(block, ToolResultBlock):
                raise _fault(f"{place}.{number}.type", "a result is the user's to say")
        return Message("assistant", text, tuple(calls))

    def _call(self, block: ToolUseBlock, place: str) -> ToolCall:
        if block.id in self._ids:
            raise _fault(f"{place}.id", f"two of the calls have the id {block.id[:64]!r}")
        self._ids.add(block.id)
        return ToolCall(block.id, block.name, json.dumps(block.input, ensure_ascii=False))

    def _said(self, message: AnthropicMessage, place: str) -> Iterator[Message]:
        """Results apart, and the texts between them joined."""
        role = "system" if message.role == "system" else "user"
        texts: list[str] = []
        for number, block in enumerate(message.content):
            if isinstance(block, TextBlock):
                texts.append(block.text)
            elif isinstance(block, ToolResultBlock) and role == "user":
                if texts:
                    yield Message("user", "\n".join(texts))
                    texts = []
                yield self._result(block, f"{place}.{number}")
            else:
                raise _fault(f"{place}.{number}", f"it is nothing that a {role} says")
        if texts or not message.content:
            yield Message("system" if role == "system" else "user", "\n".join(texts))

    def _result(self, block: ToolResultBlock, place: str) -> Message:
        id, param = block.tool_use_id, f"{place}.tool_use_id"
        if id not in self._ids:
            raise _fault(param, f"no tool_use block before it has the id {id[:64]!r}")
        return Message("tool", block.text, tool_call_id=id)


def _tools(body: ReadFields) -> tuple[Tool, ...]:
    return tools_at(
        {
            f"tools.{number}": FunctionFields(
                name=tool.name,
                description=tool.description,
                parameters=tool.input_schema,
                strict=tool.strict,
            )
            for number, tool in enumerate(body.tools or ())
        }
    )


def _choice(body: ReadFields, tools: tuple[Tool, ...]) -> ToolChoice:
    choice = body.tool_choice
    if choice is None or (choice.type in {"auto", "none"}):
        return ToolChoice("none" if choice is not None and choice.type == "none" else "auto")
    if not tools:
        raise _fault("tool_choice", "it asks for a call, but tools names none that could be made")
    if choice.type == "any":
        return ToolChoice("required")
    if choice.name is None:
        message = "tool_choice.name is required: it says which tool is to be called."
        raise InvalidRequest(message, param="tool_choice.name", code="missing_parameter")
    return required_tool(Chosen(choice.name, "tool_choice.name"), tools)


def _thinking(body: ReadFields, *, thinks: bool) -> Thinking | None:
    """Who asks for nothing gets no thoughts, as such a client would not know them."""
    effort = body.output_config.effort if body.output_config is not None else None
    wish: Thinking = "none"
    if body.thinking is None and effort is not None:
        return allowed_thinking("output_config.effort", EFFORTS[effort], thinks=thinks)
    match body.thinking:
        case None:
            pass
        case options if options.type == "enabled" and options.budget_tokens is None:
            message = "thinking.budget_tokens is required where thinking is enabled."
            raise InvalidRequest(message, param="thinking.budget_tokens", code="missing_parameter")
        case options if options.type != "disabled":
            wish = EFFORTS[effort] if effort is not None else _budgeted(options.budget_tokens)
    return allowed_thinking("thinking.type", wish, thinks=thinks)


def _budgeted(tokens: int | None) -> Thinking:
    if tokens is None:
        return "on"
    return "low" if tokens < _LITTLE else "medium" if tokens < _MUCH else "high"


def _constraint(body: ReadFields) -> Constraint | None:
    wanted = body.output_config.format if body.output_config is not None else None
    if wanted is None:
        return None
    source = json.dumps(wanted.definition)
    return Constraint("json_schema", source, "output_config.format.schema")


def _fault(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {message}.", param=param, code="invalid_value")
