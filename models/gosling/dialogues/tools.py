"""Calling tools in the G1 form: a request, the call, the function's output, the answer in words."""

import json
from dataclasses import dataclass

from models.gosling.dialogues import toolbox
from models.gosling.dialogues.arguments import MAKERS, Value
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Exchange, Message, turn
from models.gosling.dialogues.phrases import choose
from models.gosling.dialogues.surface import render, say
from models.gosling.dialogues.toolbox import Parameter, Tool
from models.gosling.dialogues.wording import joined, upper_first

ABILITY = "tools"
NO_TOOL = "I have no tool for that."
CLOSING = "Return only a JSON function call."
ERRORS = ("not found", "timeout", "no access", "unknown name", "service down", "try again later")


@dataclass(frozen=True, slots=True)
class Request:
    text: str
    arguments: dict[str, Value]


def system_text(tools: tuple[Tool, ...]) -> str:
    """The tool list as it stands in the system message."""
    return "\n".join(("Tools:", *(tool.line() for tool in tools), CLOSING))


def call_text(name: str, arguments: dict[str, Value]) -> str:
    """The call as the model writes it, in its fenced block."""
    return f"```json\n{call_json(name, arguments)}\n```"


def call_json(name: str, arguments: dict[str, Value]) -> str:
    return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)


def request(d: Draw, tool: Tool) -> Request:
    return known_request(d, tool) if tool.key else invented_request(d, tool)


def known_request(d: Draw, tool: Tool) -> Request:
    """A phrasing of the tool's own, optional arguments appended to it."""
    arguments: dict[str, Value] = {}
    shown: list[str] = []
    tail = ""
    for p in tool.parameters:
        if not p.required and d.chance(0.5):
            continue
        text, value = MAKERS[p.maker](d)
        arguments[p.name] = value
        if p.required:
            shown.append(text)
        else:
            tail += " " + optional(d, tool, p, text)
    return Request(worded(d, tool, shown, tail), arguments)


def optional(d: Draw, tool: Tool, p: Parameter, text: str) -> str:
    """The words that pass an optional argument."""
    original = next(
        q.name for k in toolbox.catalogue() if k.key == tool.key
        for q in k.parameters if p.name in q.aliases
    )  # fmt: skip
    return choose(d, f"opt.{original}").lower.format(v=text)


def worded(d: Draw, tool: Tool, shown: list[str], tail: str) -> str:
    if not tail:
        return render(d, choose(d, f"tool.{tool.key}"), Numbered(shown))
    phrase = choose(d, f"tool.{tool.key}")
    base = phrase.text if d.chance(0.7) else phrase.lower
    mark = base[-1] if base[-1] in ".?" and d.chance(0.7) else ""
    return base.rstrip(".?").format_map(Numbered(shown)) + tail + mark


class Numbered(dict[str, str]):
    """Slots named p0, p1, … for `str.format_map`."""

    def __init__(self, shown: list[str]) -> None:
        super().__init__((f"p{i}", text) for i, text in enumerate(shown))


def invented_request(d: Draw, tool: Tool) -> Request:
    """Verb, noun and the arguments named one after the other."""
    arguments: dict[str, Value] = {}
    rest = ""
    for p in tool.parameters:
        if not p.required and d.chance(0.5):
            continue
        text, value = MAKERS[p.maker](d)
        arguments[p.name] = value
        piece = choose(d, "made.value").lower.format(label=p.name.replace("_", " "), v=text)
        rest += piece if piece[0] in ",;" else f" {piece}"
    verb, noun = toolbox.verb_and_noun(tool)
    text = say(d, "made.do", Verb=upper_first(verb), verb=verb, noun=noun, rest=rest)
    return Request(text, arguments)


def output(d: Draw, tool: Tool) -> tuple[str, str, str]:
    """(function output, answer, essential part of the answer)"""
    roll = d.rng.random()
    if roll < 0.08:
        error = d.pick(ERRORS)
        return json.dumps({"error": error}), f"The tool reported an error: {error}.", error
    if roll < 0.18:
        text, _ = MAKERS[tool.results[0].maker](d)
        return text, f"The result is {text}.", text
    values = {p.name: MAKERS[p.maker](d)[1] for p in tool.results}
    answer = describe(values)
    return json.dumps(values, ensure_ascii=False), answer, answer


def describe(values: dict[str, Value]) -> str:
    """`The price is 3.5 and the name is Ana.`; a bare status is `Done.`"""
    parts = [f"the {key.replace('_', ' ')} {verb(key)} {value}" for key, value in values.items()]
    if list(values) == ["status"]:
        return "Done."
    return f"{upper_first(joined(parts))}."


def verb(key: str) -> str:
    return "are" if key.endswith("s") and key != "status" else "is"


def call(d: Draw, tool: Tool) -> Exchange:
    """A request, its call and, mostly, the output and the answer."""
    asked = request(d, tool)
    messages = [
        Message("user", asked.text),
        Message("assistant", call_text(tool.name, asked.arguments)),
    ]
    checks = [(1, call_json(tool.name, asked.arguments))]
    if d.chance(0.85):
        result, answer, essential = output(d, tool)
        messages += [Message("user", f"Function output:\n{result}"), Message("assistant", answer)]
        checks.append((3, essential))
    return Exchange(ABILITY, tuple(messages), tuple(checks))


def unfit(d: Draw, tools: tuple[Tool, ...]) -> Exchange | None:
    """A request that none of the tools serves."""
    listed = {key for tool in tools for key in toolbox.related(tool.key)} | {t.key for t in tools}
    chosen = d.pick(toolbox.catalogue())
    if chosen.key in listed or "search" in listed or chosen.key == "calculator":
        return None
    return turn(ABILITY, request(d, toolbox.known(d, chosen)).text, NO_TOOL, NO_TOOL)
