"""The text that a constraint asks for, as a rule of a Lark grammar and the parts it refers to."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from llguidance.gbnf_to_lark import any_to_lark

from server.chat.constraint import regex
from server.chat.constraint.escaped_lark import escaped_lark
from server.chat.constraint.problems import UNSUPPORTED
from server.chat.constraint.schema import checked_schema
from server.chat.tools import INPUT_HEAD, INPUT_TAIL
from server.chat.types import Constraint, Tool
from server.errors import InvalidRequest

LONGEST = 65_536  # characters of a grammar

# One space at most. What has no short escape cannot be written: `\\u` would also spell letters,
# so that one key could be written twice, and halves of surrogate pairs.
_JSON = {
    "item_separator": ", ?",
    "key_separator": ": ?",
    "whitespace_flexible": False,
    "json_allowed_escapes": 'nrbtf\\"',
}
# What else than `properties` may say which keys an object has.
_COMPOSED = frozenset(
    {"additionalProperties", "patternProperties", "unevaluatedProperties", "$ref", "allOf"}
    | {"anyOf", "oneOf"}
)
_ANY_TEXT = "start: TEXT\nTEXT: /(?s:.*)/"
_NOT_BLANK = "/\\S(?s:.*)|/"
# Attributes of Lark rules that ask for another sampling or hide text, and tokens that are no text.
_SAMPLING = re.compile(
    r"^[ \t]*[a-z_][\w-]*[ \t]*\[[^\]\n]*\b(temperature|stop|stop_capture)\b", re.M
)
_TOKEN_IDS = re.compile(r"^[^/\"#\n]*(<\[[^\]\n]*\]>|<\|[^>\n]*\|>)", re.M)


@dataclass(frozen=True, slots=True)
class Body:
    """rule: what stands on a rule's right side; rules: further ones; parts: named grammars.

    param: the request's field to blame, where it is another than that of the whole grammar.
    asked: the schema that it is of, where one was asked for in so many words; again: makes one of
    another in its place.
    """

    rule: str
    rules: Sequence[str] = ()
    parts: Sequence[Mapping[str, Any]] = ()
    param: str | None = None
    asked: Any = None
    again: Callable[[Any], "Body"] | None = None


def of(constraint: Constraint, *, in_chat: bool) -> Body:
    """in_chat: the text must not begin with white space. Raises InvalidRequest."""
    source, param = constraint.source, constraint.param
    match constraint.kind:
        case "json_object":
            return _json({"type": "object"}, "answer_json")
        case "json_schema":
            return _answer(param, json.loads(source))
        case "regex":
            return _regex(source, param, in_chat=in_chat)
        case "choice":
            return _choice(json.loads(source), param, in_chat=in_chat)
        case "lark":
            return Body(
                "@answer_lark",
                parts=({"name": "answer_lark", "lark_grammar": _lark(source, param)},),
            )


def _answer(param: str, schema: Any) -> Body:
    body = _json(checked_schema(schema, param), "answer_json")
    return replace(body, param=param, asked=schema, again=partial(_answer, param))


def of_arguments(tool: Tool, number: int, *, loose: bool = False) -> Body:
    """The arguments of a call, an object without keys that the schema leaves unsaid.

    A schema that cannot be enforced is refused for a strict tool; any other's arguments are then
    an object of whatever, as with `loose` they always are.
    """
    name = f"arguments_{number}"
    if tool.custom:
        return _input(tool.form, name)
    if loose and not tool.strict:
        return _json({"type": "object"}, name)
    again = partial(_arguments, name, tool.param)
    try:
        body = again(tool.parameters)
    except InvalidRequest as error:
        if tool.strict or error.code != UNSUPPORTED:
            raise
        return _json({"type": "object"}, name)
    if not tool.strict:
        return body
    return replace(body, param=tool.param, asked=tool.parameters, again=again)


def _arguments(name: str, param: str, parameters: Mapping[str, Any] | None) -> Body:
    schema = checked_schema(_closed(parameters), param)
    definitions = {} if isinstance(schema, bool) else schema.pop("$defs", {})
    return _json({"type": "object", "allOf": [schema], "$defs": definitions}, name)


def _input(form: Constraint | None, name: str) -> Body:
    """An object that has a text and nothing else."""
    source, param = _ANY_TEXT if form is None else _text(form), form.param if form else None
    try:
        grammar = {"name": name, "lark_grammar": escaped_lark(source)}
    except regex.RegexError as error:
        raise _unusable(str(param), f"uses {error}, which is not supported here") from None
    rule = f"{json.dumps(INPUT_HEAD)} @{name} {json.dumps(INPUT_TAIL)}"
    return Body(rule, parts=(grammar,), param=param)


def _text(form: Constraint) -> str:
    if form.kind == "lark":
        return _lark(form.source, form.param)
    body = _regex(form.source, form.param, in_chat=False)
    return "\n".join((f"start: {body.rule}", *body.rules))


def _closed(parameters: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A function without parameters takes none, and one with some takes no others."""
    if parameters is None:
        return {"type": "object", "additionalProperties": False}
    open_ended = _COMPOSED & parameters.keys()
    return parameters if open_ended else {**parameters, "additionalProperties": False}


def _json(schema: Any, name: str) -> Body:
    if isinstance(schema, bool):
        schema = {"allOf": [schema]}
    return Body(f"@{name}", parts=({"name": name, "json_schema": {**schema, "x-guidance": _JSON}},))


def _regex(source: str, param: str, *, in_chat: bool) -> Body:
    try:
        pattern = regex.whole(source)
    except regex.RegexError as error:
        raise InvalidRequest(
            f"{param} cannot be enforced: {error}; write it without.", param=param, code=UNSUPPORTED
        ) from None
    return Body("ANSWER", (f"ANSWER: /{pattern}/" + (f" & {_NOT_BLANK}" if in_chat else ""),))


def _choice(choices: Sequence[str], param: str, *, in_chat: bool) -> Body:
    for number, choice in enumerate(choices):
        if in_chat and choice[:1].isspace():
            raise InvalidRequest(
                f"{param}.{number} begins with white space, which an answer in a chat never does.",
                param=f"{param}.{number}",
                code="invalid_value",
            )
    literals = (json.dumps(choice, ensure_ascii=False) for choice in choices)
    return Body("ANSWER", (f"ANSWER: {' | '.join(literals)}",))


def _lark(source: str, param: str) -> str:
    """A grammar in Lark; one in GBNF is rewritten."""
    if len(source) > LONGEST:
        raise _unusable(param, f"has {len(source)} characters, more than {LONGEST}")
    if "::=" in source:
        try:
            source = any_to_lark(source)
        except Exception as error:  # it raises whatever a faulty grammar leads it into
            raise _unusable(param, f"is not GBNF: {' '.join(str(error).split())}") from error
    for what in (_SAMPLING, _TOKEN_IDS):
        if found := what.search(source):
            raise _unusable(param, f"uses {found[1][:40]!r}, which is not supported here")
    return source


def _unusable(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{param} {what}.", param=param, code=UNSUPPORTED)
