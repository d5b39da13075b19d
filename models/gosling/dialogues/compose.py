"""Whole dialogues: threads of one ability each, interleaved, behind a system message.

A thread (facts, a list, calls of tools) keeps its own order; the rest are single exchanges that
fall between, so that what was told is asked back after other things.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from models.gosling.dialogues import (
    beyond,
    counting,
    facts,
    lists,
    shaped,
    sums,
    talk,
    toolbox,
    tools,
    values,
    words,
)
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Dialogue, Exchange, Message, Split
from models.gosling.dialogues.toolbox import Tool

SYSTEMS = (
    "You are a helpful assistant.", "You are Gosling.", "You are a friendly assistant.",
    "Be brief.", "Answer briefly.", "You are a helpful AI assistant.", "Be polite and helpful.",
    "You are a chatbot.", "Answer the user's questions.", "You are a small model.",
    "Help the user.",
    "You are an assistant that answers in short sentences.", "Be honest.", "Be concise.",
    "You are a helpful, honest and harmless assistant.", "You are Gosling, a small demo model.",
    "You are an AI assistant. Be kind.", "Talk with the user.", "Reply in English.",
    "This is a demo of rwkv-server.", "You chat with a visitor of our web page.",
)  # fmt: skip
MADE_SYSTEMS = (
    "You are a {adj} {noun}.", "You are a helpful {noun}.", "You help people {verb} {nouns}.",
    "Always answer in {language}.", "You are an expert in {topic}.", "Talk like a {noun}.",
    "You work for a {noun} in {place}.", "Never talk about {topic}.", "The user is a {noun}.",
    "The user lives in {country}.", "Today is {n} {month} {year}.", "You know all about {nouns}.",
    "Do not {verb} any {nouns}.", "Answer with at most {n} words.", "You love {topic}.",
)  # fmt: skip
PERSONAS = (
    "Your name is {v}.", "You are {v}.", "You are called {v}.", "Your name is {v}. Be helpful.",
    "You are a helpful assistant named {v}.", "You are {v}, a friendly assistant.",
    "You are an assistant called {v}.", "Act as {v}.", "Introduce yourself as {v}.",
    "You are a bot named {v}. Answer briefly.", "The assistant's name is {v}.",
)  # fmt: skip
KNOWING = frozenset(["search", "define", "news", "population", "translate", "joke", "recipe"])
LENGTHS = (1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14)
LONG = (18, 24, 32, 40)  # so that facts are kept far beyond the length of most dialogues
SINGLES: tuple[str, ...] = ("sums",) * 31 + ("words",) * 90 + ("counting",) * 10 + ("talk",) * 25
SINGLES += ("beyond",) * 25 + ("json",) * 16


@dataclass(frozen=True, slots=True)
class Setting:
    """What holds for a whole dialogue."""

    system: str = ""
    persona: str = ""
    tools: tuple[Tool, ...] = ()

    def has(self, keys: frozenset[str]) -> bool:
        return any(tool.key in keys for tool in self.tools)


def setting(d: Draw) -> Setting:
    roll = d.rng.random()
    if roll < 0.36:
        return Setting()
    if roll < 0.5:
        return Setting(instructions(d))
    if roll < 0.58:
        name = values.name(d)
        return Setting(d.pick(PERSONAS).format(v=name), name)
    chosen = toolbox.toolset(d)
    head = f"{instructions(d)}\n" if d.chance(0.3) else ""
    return Setting(head + tools.system_text(chosen), "", chosen)


def instructions(d: Draw) -> str:
    """One to three sentences, some of them made up: what they ask for changes no answer."""
    count = d.pick((1, 1, 1, 2, 3))
    return " ".join(
        beyond.phrased_plainly(d, d.pick(MADE_SYSTEMS)) if d.chance(0.35) else d.pick(SYSTEMS)
        for _ in range(count)
    )


def single(d: Draw, where: Setting, kind: str | None = None) -> Exchange:
    """One exchange that depends on nothing said before."""
    while True:
        found = attempt(d, where, kind or usual(d, where))
        if found is not None:
            return found


def usual(d: Draw, where: Setting) -> str:
    """Beside tools, what is out of reach comes up more often: a call is the likelier mistake."""
    return "beyond" if where.tools and d.chance(0.35) else d.pick(SINGLES)


def attempt(d: Draw, where: Setting, kind: str) -> Exchange | None:
    match kind:
        case "sums":
            return None if where.has(frozenset({"calculator"})) else sums.question(d)
        case "words":
            return words.question(d)
        case "counting":
            return counting.question(d)
        case "talk":
            return talk.question(d, persona=where.persona)
        case "json":
            return shaped.question(d)
    return out_of_reach(d, where)


def out_of_reach(d: Draw, where: Setting) -> Exchange | None:
    """What the model cannot do, or what none of its tools can do."""
    if not where.tools:
        return unlisted(d) if d.chance(0.1) else beyond.question(d)
    if d.chance(0.5):
        return tools.unfit(d, where.tools)
    return None if where.has(KNOWING) else beyond.beside_tools(d)


def unlisted(d: Draw) -> Exchange | None:
    """A request for a tool where none is listed."""
    chosen = toolbox.known(d, d.pick(toolbox.catalogue()))
    if chosen.key in ("calculator", "timer"):
        return None
    return beyond.reply(tools.request(d, chosen).text, beyond.DO)


def threads(d: Draw, where: Setting, length: int) -> list[list[Exchange]]:
    """Threads whose exchanges add up to `length`."""
    parts: list[list[Exchange]] = []
    left = length
    if where.tools:
        parts.append(calls(d, where, min(left, d.pick((0, 1, 1, 2, 2, 3, 4)))))
        left -= len(parts[-1])
    if left and d.chance(0.62):
        parts.append(facts.thread(d, min(left, d.pick((2, 3, 4, 5, 6, 7, 8)))))
        left -= len(parts[-1])
    if left and d.chance(0.5):
        parts.append(lists.thread(d, min(left, d.pick((1, 2, 3, 3, 4, 4, 5, 6)))))
        left -= len(parts[-1])
    return parts + [[single(d, where)] for _ in range(left)]


def calls(d: Draw, where: Setting, count: int) -> list[Exchange]:
    return [tools.call(d, d.pick(where.tools)) for _ in range(count)]


def interleave(d: Draw, parts: list[list[Exchange]]) -> list[Exchange]:
    """All exchanges, every thread in its own order."""
    order = [i for i, part in enumerate(parts) for _ in part]
    d.rng.shuffle(order)
    iterators = [iter(part) for part in parts]
    return [next(iterators[i]) for i in order]


def assemble(
    system: str,
    exchanges: list[Exchange],
    ability: str,
    *,
    thinking: bool = False,
    forced: bool = False,
    checked: Callable[[int], bool] = lambda _: True,
) -> Dialogue:
    """The dialogue of these exchanges; `checked` says which of them the evaluation looks at."""
    messages = [Message("system", system)] if system else []
    checks: list[int] = []
    answers: list[str] = []
    kinds: list[str] = []
    told: list[str] = []
    for i, exchange in enumerate(exchanges):
        for at, essential in exchange.checks if checked(i) else ():
            checks.append(len(messages) + at)
            answers.append(essential)
            kinds.append(exchange.ability)
        messages += exchange.messages
        told += exchange.values
    return Dialogue(
        tuple(messages), ability, tuple(checks), thinking, forced,
        tuple(answers), tuple(kinds), tuple(told),
    )  # fmt: skip


def dialogue(rng: Random, split: Split) -> Dialogue:
    """One random dialogue of the training mixture, with the values and phrasings of `split`."""
    d = Draw(rng, split)
    where = setting(d)
    length = d.pick(LONG if d.chance(0.03) else LENGTHS)
    exchanges = interleave(d, threads(d, where, length))
    main = max(exchanges, key=lambda e: sum(e.ability == other.ability for other in exchanges))
    return assemble(
        where.system,
        exchanges,
        main.ability,
        thinking=d.chance(0.1),
        forced=bool(where.tools) and d.chance(0.3),
    )
