"""Lists the user keeps: made, added to, shortened and recited."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.messages import Exchange, turn
from models.gosling.dialogues.surface import Tone, say
from models.gosling.dialogues.wording import ORDINALS, joined

ABILITY = "lists"
SOURCES = {
    "shopping list": "foods", "grocery list": "foods", "food list": "foods", "menu": "foods",
    "to-do list": "tasks", "todo list": "tasks", "task list": "tasks", "packing list": "things",
    "wish list": "things", "gift list": "things", "guest list": "names", "team list": "names",
    "invitation list": "names", "reading list": "titles", "travel list": "towns", "list": "mixed",
    "bucket list": "mixed", "name list": "names", "city list": "towns", "word list": "words",
}  # fmt: skip
NAMES = ("shopping list",) * 6 + ("to-do list",) * 3 + ("list",) * 3 + tuple(SOURCES)


HEADINGS = (
    "My {list}:", "Here is my {list}:", "Remember this {list}:", "This is my {list}:", "{list}:",
    "Please remember my {list}:", "my {list}", "Note my {list}:", "Make a {list} with:",
)  # fmt: skip


@dataclass(slots=True)
class Kept:
    name: str
    items: list[str] = field(default_factory=list)


def maker(d: Draw, source: str) -> Callable[[], str]:
    if source == "mixed":
        source = d.pick(("foods", "things", "names", "words"))
    match source:
        case "names":
            return lambda: values.name(d)
        case "towns":
            return lambda: values.town(d)
        case "words":
            return lambda: values.word(d)
        case "titles":
            return lambda: values.titled(values.word(d))
    return lambda: values.word(d) if d.chance(0.25) else values.listed(d, source)


def items(d: Draw, source: str, count: int) -> list[str]:
    return d.distinct(maker(d, source), count)


def enumerated(d: Draw, entries: list[str]) -> str:
    """The items as a user types them."""
    roll = d.rng.random()
    if roll < 0.4:
        return joined(entries)
    if roll < 0.75:
        return ", ".join(entries)
    if roll < 0.83:
        return " and ".join(entries)
    if roll < 0.9:
        return "; ".join(entries)
    return ", ".join(entries[:-1]) + ", and " + entries[-1] if len(entries) > 1 else entries[0]


def state(kept: Kept) -> str:
    """`your shopping list is milk and eggs`, or that it is empty."""
    return f"your {kept.name} is {joined(kept.items) if kept.items else 'empty'}"


def make(d: Draw, kept: Kept) -> Exchange:
    kept.items = items(d, SOURCES[kept.name], d.pick((2, 3, 3, 3, 4, 4, 4, 5, 5, 6, 7)))
    text = pasted(d, kept) if d.chance(0.1) else made(d, kept)
    return turn(ABILITY, text, f"Okay, {state(kept)}.")


def made(d: Draw, kept: Kept) -> str:
    return say(d, "list.make", tone=Tone.TELL, list=kept.name, items=enumerated(d, kept.items))


def pasted(d: Draw, kept: Kept) -> str:
    """The list as lines under a heading."""
    heading = d.pick(HEADINGS).format(list=kept.name)
    sign = d.pick(("- ", "- ", "* ", "", "• "))
    return "\n".join((heading, *(sign + item for item in kept.items)))


def add(d: Draw, kept: Kept) -> Exchange | None:
    count = d.pick((1, 1, 1, 2))
    new = [i for i in items(d, SOURCES[kept.name], count) if i not in kept.items]
    if not new or len(kept.items) > 6:
        return None
    kept.items += new
    text = say(d, "list.add", item=joined(new), list=kept.name)
    answer = f"Okay, I added {joined(new)}. Now {state(kept)}."
    return turn(ABILITY, text, answer, state(kept))


def remove(d: Draw, kept: Kept) -> Exchange | None:
    if not kept.items:
        return None
    gone = d.pick(kept.items)
    kept.items.remove(gone)
    text = say(d, "list.remove", item=gone, list=kept.name)
    answer = f"Okay, I removed {gone}. Now {state(kept)}."
    return turn(ABILITY, text, answer, state(kept))


def recite(d: Draw, kept: Kept) -> Exchange:
    return turn(
        ABILITY, say(d, "list.recite", list=kept.name), f"Y{state(kept)[1:]}.", state(kept)[1:]
    )


def count(d: Draw, kept: Kept) -> Exchange:
    total = len(kept.items)
    answer = f"There {'is 1 item' if total == 1 else f'are {total} items'} on your {kept.name}."
    return turn(ABILITY, say(d, "list.count", list=kept.name), answer, answer)


def nth(d: Draw, kept: Kept) -> Exchange | None:
    if len(kept.items) < 2:
        return None
    at = d.pick((0, 0, -1, -1, d.between(0, min(4, len(kept.items) - 1))))
    word = "last" if at == -1 else ORDINALS[at]
    item = kept.items[at]
    text = say(d, "list.nth", list=kept.name, nth=word)
    return turn(ABILITY, text, f"The {word} item on your {kept.name} is {item}.", item)


def has(d: Draw, kept: Kept) -> Exchange | None:
    if not kept.items:
        return None
    item = d.pick(kept.items) if d.chance(0.5) else items(d, SOURCES[kept.name], 1)[0]
    text = say(d, "list.has", list=kept.name, item=item)
    found = item in kept.items
    answer = f"{'Yes' if found else 'No'}, {item} is {'' if found else 'not '}on your {kept.name}."
    return turn(ABILITY, text, answer, answer)


def clear(d: Draw, kept: Kept) -> Exchange:
    kept.items = []
    return turn(ABILITY, say(d, "list.clear", list=kept.name), f"Okay, {state(kept)}.")


def as_json(d: Draw, kept: Kept) -> Exchange:
    answer = json.dumps(kept.items, ensure_ascii=False)
    return turn("json", say(d, "list.json", list=kept.name), answer, answer)


def unknown(d: Draw) -> Exchange:
    """A list is asked for that was never made."""
    name = d.pick(NAMES)
    answer = f"You have not told me your {name} yet."
    return turn(ABILITY, say(d, "list.recite.named", list=name), answer, answer)


STEPS: tuple[tuple[int, Callable[[Draw, Kept], Exchange | None]], ...] = (
    (24, add), (15, remove), (30, recite), (8, count), (8, nth), (6, has), (2, clear), (7, as_json),
)  # fmt: skip
CHOICES = tuple(step for weight, step in STEPS for _ in range(weight))


def thread(d: Draw, length: int, name: str = "") -> list[Exchange]:
    """A list made and then used in `length` exchanges in all."""
    if length == 1 and d.chance(0.5):
        return [unknown(d)]
    kept = Kept(name or d.pick(NAMES))
    done = [make(d, kept)]
    while len(done) < length:
        step = d.pick(CHOICES)(d, kept)
        if step is not None:
            done.append(step)
    return done
