"""Dialogues that test one ability each, with values or phrasings that training never saw.

What is tested stands behind a few ordinary exchanges of the training mixture.
"""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from random import Random

from models.gosling.dialogues import (
    beyond,
    compose,
    counting,
    facts,
    kinds,
    lists,
    shaped,
    sums,
    talk,
    telling,
    toolbox,
    tools,
    words,
)
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Dialogue, Exchange, Split

FURTHEST = 10
NAMED_LISTS = ("guest list", "travel list", "name list", "city list")
NAMED_TOOLS = frozenset(["town", "name"])
ABILITIES: dict[Split, tuple[str, ...]] = {
    Split.HELD_VALUES: (
        "facts", "lists", "arithmetic", "words", "counting", "tools", "json", "beyond",
    ),
    Split.HELD_PHRASES: (
        "facts", "lists", "arithmetic", "words", "counting", "tools", "json", "talk", "identity",
    ),
    Split.REAL_NAMES: ("facts", "lists", "tools"),
}  # fmt: skip


def exam(rng: Random, split: Split, ability: str, gap: int | None = None) -> Dialogue:
    """A dialogue whose checks are of `ability` only.

    gap: for facts, how many other turns lie between telling and asking; random if None.
    """
    d, ordinary = Draw(rng, split), Draw(rng, Split.TRAIN)
    if ability == "facts":
        return recalled(d, ordinary, d.between(0, FURTHEST) if gap is None else gap)
    if ability == "tools":
        return called(d, ordinary)
    if ability == "beyond":
        return refused(d, ordinary)
    return behind(d, ordinary, MAKERS[ability](d))


def behind(d: Draw, ordinary: Draw, tested: list[Exchange]) -> Dialogue:
    """The tested exchanges, mixed with up to three ordinary ones."""
    where = compose.Setting()
    others = [compose.single(ordinary, where) for _ in range(d.between(0, 3))]
    mixed = compose.interleave(d, [tested, others])
    places = {i for i, exchange in enumerate(mixed) if any(exchange is t for t in tested)}
    return compose.assemble("", mixed, tested[0].ability, checked=places.__contains__)


def recalled(d: Draw, ordinary: Draw, gap: int) -> Dialogue:
    """Facts told, `gap` other turns, one of the facts asked back."""
    memory = telling.Memory()
    told = asked_facts(d)
    opening = telling.tell(d, memory, told)
    where = compose.Setting()
    between = [compose.single(ordinary, where, filler(d)) for _ in range(gap)]
    if gap and d.chance(0.2):
        between[d.between(0, gap - 1)] = telling.correct(d, memory)
    question = facts.ask(d, d.pick(list(memory.facts.values())))
    exchanges = [opening, *between, question]
    return compose.assemble("", exchanges, "facts", checked=lambda i: i == gap + 1)


def filler(d: Draw) -> str:
    return d.pick(("sums", "words", "counting", "talk", "beyond", "json"))


def asked_facts(d: Draw) -> list[kinds.Fact]:
    if d.split is not Split.REAL_NAMES:
        return telling.new_facts(d, d.pick((1, 1, 2, 3)))
    sections = d.pick((("name",), ("town",), ("called",), ("name", "town"), ("town", "called")))
    return [kinds.fact(d, section) for section in sections]


def kept(d: Draw) -> list[Exchange]:
    """A list made and used; drawn again where it was only emptied, which shows nothing."""
    while True:
        name = d.pick(NAMED_LISTS) if d.split is Split.REAL_NAMES else d.pick(lists.NAMES)
        thread = lists.thread(d, d.between(2, 5), name)
        if any(exchange.checks for exchange in thread):
            return thread


def called(d: Draw, ordinary: Draw) -> Dialogue:
    """One call among one to five tools."""
    while True:
        chosen = toolbox.toolset(d)
        wanted = [t for t in chosen if d.split is not Split.REAL_NAMES or takes_name(t)]
        if wanted:
            break
    where = compose.Setting(tools.system_text(chosen), "", chosen)
    others = [compose.single(ordinary, where, "words") for _ in range(d.between(0, 2))]
    exchanges = [*others, tools.call(d, d.pick(wanted))]
    last = len(others)
    return compose.assemble(where.system, exchanges, "tools", checked=lambda i: i == last)


def takes_name(tool: toolbox.Tool) -> bool:
    return any(p.maker in NAMED_TOOLS and p.required for p in tool.parameters)


@cache
def questions() -> tuple[str, ...]:
    """Questions written by hand that the model cannot answer."""
    text = files("models.gosling").joinpath("questions.txt").read_text("utf-8")
    return tuple(text.splitlines())


def refused(d: Draw, ordinary: Draw) -> Dialogue:
    """A question out of reach; in a third of the cases with tools that do not help."""
    tested = beyond.reply(d.pick(questions()), beyond.ASK)
    if d.chance(2 / 3):
        return behind(d, ordinary, [tested])
    chosen = tuple(toolbox.invented(d) for _ in range(d.between(1, 3)))
    return compose.assemble(tools.system_text(chosen), [tested], beyond.ABILITY)


def small_talk(d: Draw) -> Exchange:
    return talk.question(d, d.pick(tuple(talk.ANSWERS)))


MAKERS: dict[str, Callable[[Draw], list[Exchange]]] = {
    "lists": kept,
    "arithmetic": lambda d: [sums.question(d)],
    "words": lambda d: [words.question(d)],
    "counting": lambda d: [counting.question(d)],
    "json": lambda d: [shaped.question(d)],
    "talk": lambda d: [small_talk(d)],
    "identity": lambda d: [talk.question(d, d.pick(("who", "can")))],
}
