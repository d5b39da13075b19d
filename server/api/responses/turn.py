"""From the body of a request for a response to the turn it asks for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.api.chat.turn import EFFORTS, allowed_thinking
from server.api.constraint import JsonObjectFormat
from server.api.items import Item, ItemReader, item_id, kept_items, new_id, response_of
from server.api.items.fields import ReferenceItem
from server.api.responses.request import (
    AllowedResponseTools,
    NamedResponseTool,
    PromptFields,
    ResponseBody,
    SchemaFormat,
)
from server.api.sampling import sampling_options, stop_strings, stop_token_ids
from server.api.stored import Earlier, Stored, read_history
from server.api.tools import Chosen, allowed_tools, required_tool, tools_at
from server.chat.served import ServedModel
from server.chat.service import ChatService
from server.chat.turn import Turn
from server.chat.types import Constraint, Message, Thinking, Tool, ToolChoice, TurnRequest
from server.errors import InvalidRequest, NotFound


@dataclass(frozen=True, slots=True)
class Asked:
    """A response's id, what came in for it, and the conversation that makes.

    places: the request's field that each message came in.
    """

    id: str
    items: list[Item]
    earlier: Earlier
    messages: tuple[Message, ...]
    places: tuple[str, ...]


async def read_prompt(body: PromptFields, stored: Stored, model: ServedModel) -> Asked:
    """Raises InvalidRequest, or NotFound for what is not stored."""
    earlier = Earlier(body.previous_response_id, body.conversation_id)
    reader = ItemReader()
    if body.instructions:
        reader.say(Message("system", body.instructions), "instructions")
    await read_history(stored, earlier, reader, model)
    id = new_id("resp")
    given = body.input if body.input is not None else []
    referred = {} if isinstance(given, str) else await _referred(given, stored)
    items = kept_items(given, lambda kind, number: item_id(kind, id, "i", number), referred)
    reader.read(items, "input", numbered=not isinstance(given, str))
    if not items and (not reader.messages or reader.places[-1] == "instructions"):
        message = "input is required: there is nothing to answer."
        raise InvalidRequest(message, param="input", code="missing_parameter")
    return Asked(id, items, earlier, tuple(reader.messages), tuple(reader.places))


async def _referred(given: Sequence[object], stored: Stored) -> dict[str, Item]:
    """The items that are only named. Raises NotFound."""
    found: dict[str, Item] = {}
    for number, item in enumerate(given):
        if isinstance(item, ReferenceItem):
            found[item.id] = await _stored_item(item.id, f"input.{number}.id", stored)
    return found


async def _stored_item(id: str, param: str, stored: Stored) -> Item:
    if (response := response_of(id)) is not None:
        document = await stored.find("response", response, param)
        for item in document["input"] + document["output"]:
            if item["id"] == id:
                kept: Item = item
                return kept
    message = f"There is no stored item {id[:80]!r}."
    raise NotFound(message, param=param, code="item_not_found")


def turn_request(body: ResponseBody, asked: Asked, caller: str, model: ServedModel) -> TurnRequest:
    """What the chat service is asked. Raises InvalidRequest."""
    vocab_size = model.spec.vocab_size
    return replace(
        prompt_request(body, asked, caller, model),
        max_tokens=body.max_output_tokens,
        stop=stop_strings(body),
        stop_token_ids=stop_token_ids(body, vocab_size),
        sampling=sampling_options(body, vocab_size),
        ignore_eos=bool(body.ignore_eos),
        logprobs=body.likelihoods,
        salt=body.cache_salt or "",
    )


def prompt_request(
    body: PromptFields, asked: Asked, caller: str, model: ServedModel
) -> TurnRequest:
    """The part of it that says what the model reads. Raises InvalidRequest."""
    tools = tools_at({f"tools.{i}": one for i, one in enumerate(body.known_tools)})
    return TurnRequest(
        caller=caller,
        messages=asked.messages,
        thinking=_thinking(body, thinks=model.template.thinks),
        tools=tools,
        tool_choice=_choice(body, tools),
        parallel_tool_calls=body.parallel_tool_calls is not False,
        constraint=_constraint(body),
    )


def _thinking(body: PromptFields, *, thinks: bool) -> Thinking | None:
    effort = body.reasoning.effort if body.reasoning is not None else None
    wish = None if effort is None else EFFORTS[effort]
    return allowed_thinking("reasoning.effort", wish, thinks=thinks)


def _choice(body: PromptFields, tools: tuple[Tool, ...]) -> ToolChoice:
    match body.tool_choice:
        case "required" if not tools:
            message = "tool_choice asks for a call, but tools names none that could be made."
            raise InvalidRequest(message, param="tool_choice", code="invalid_value")
        case "none" | "auto" | "required" as mode:
            return ToolChoice(mode)
        case NamedResponseTool() as named:
            return required_tool(_chosen(named, "tool_choice"), tools)
        case AllowedResponseTools(mode=mode, tools=allowed):
            chosen = [_chosen(one, f"tool_choice.tools.{i}") for i, one in enumerate(allowed)]
            return allowed_tools(mode, chosen, tools)
    return ToolChoice()


def _chosen(named: NamedResponseTool, place: str) -> Chosen:
    return Chosen(named.name, f"{place}.name", custom=named.type == "custom")


def _constraint(body: PromptFields) -> Constraint | None:
    match body.text.format if body.text is not None else None:
        case JsonObjectFormat(definition=schema) if schema is not None:
            return Constraint("json_schema", json.dumps(schema), "text.format.schema")
        case JsonObjectFormat():
            return Constraint("json_object", "", "text.format")
        case SchemaFormat(definition=schema):
            return Constraint("json_schema", json.dumps(schema), "text.format.schema")
    return None


async def start(service: ChatService, request: TurnRequest, asked: Asked) -> Turn:
    """Raises what the service does, with the fields that this request has."""
    try:
        return await service.start(request)
    except InvalidRequest as error:
        raise InvalidRequest(
            error.message, param=_param(error.param, asked), code=error.code
        ) from error


def _param(param: str | None, asked: Asked) -> str | None:
    """Where what is wrong with a message came in."""
    field, _, rest = (param or "").partition(".")
    if field != "messages":
        return param
    number = rest.partition(".")[0]
    return asked.places[int(number)] if number.isdigit() else "input"
