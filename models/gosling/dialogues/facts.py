"""Facts that were told, asked back turns later, and courses that mix telling and asking.

The model answers with one canonical sentence a kind, so that the value is all it has to find.
"""

import json
from collections.abc import Callable
from dataclasses import replace

from models.gosling.dialogues import kinds, values, words
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.kinds import Fact, clause, fact, missing
from models.gosling.dialogues.messages import Exchange, turn
from models.gosling.dialogues.phrases import choose
from models.gosling.dialogues.surface import Tone, say
from models.gosling.dialogues.telling import (
    ABILITY,
    Memory,
    correct,
    fill,
    new_facts,
    tell,
    tell_sentence,
    told_values,
)
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import joined, upper_first

NOTE_VERBS = (
    "is in", "is on", "is under", "is near", "is behind", "is next to", "belongs to", "needs",
    "is at", "is older than", "likes", "is bigger than", "opens", "wants", "has", "starts with",
)  # fmt: skip


def ask(d: Draw, item: Fact, ability: str = ABILITY) -> Exchange:
    question = say(d, f"{item.section}.ask", what=item.holder)
    return turn(ability, question, f"{upper_first(clause(item))}.", item.value)


def ask_one(d: Draw, memory: Memory) -> Exchange | None:
    return ask(d, d.pick(list(memory.facts.values()))) if memory.facts else None


def ask_two(d: Draw, memory: Memory) -> Exchange | None:
    """Two questions in one message."""
    if len(memory.facts) < 2:
        return None
    first, second = d.sample(list(memory.facts.values()), 2)
    one, two = (choose(d, f"{item.section}.ask") for item in (first, second))
    low = d.chance(0.25)
    head = (one.lower if low else one.text).rstrip(".?!").format(**fill(first))
    tail = (two.lower if low else two.middle).format(**fill(second))
    link = d.pick((" and ", " and ", ", and ", "? And "))
    answer = f"{upper_first(clause(first))} and {clause(second)}."
    return turn(ABILITY, head + link + tail, answer, f"{clause(first)[1:]} and {clause(second)}")


def ask_missing(d: Draw, memory: Memory) -> Exchange | None:
    """A question about something that was never told."""
    for _ in range(6):
        item = fact(d)
        if item.subject not in memory.facts:
            question = say(d, f"{item.section}.ask", what=item.holder)
            return turn(ABILITY, question, missing(item), missing(item))
    return None


def ask_all(d: Draw, memory: Memory) -> Exchange | None:
    if len(memory.facts) > 5:
        return None
    clauses = [clause(item) for item in memory.facts.values()]
    answer = f"{upper_first(joined(clauses))}." if clauses else nothing_told()
    return turn(ABILITY, say(d, "all.ask"), answer, answer[1:])


def nothing_told() -> str:
    return "You have not told me anything about you yet."


def yes_or_no(d: Draw, memory: Memory) -> Exchange | None:
    """`Is my name X?`, right or wrong."""
    known = [f for f in memory.facts.values() if f"{f.section}" in YES_NO]
    if not known:
        return None
    item = d.pick(known)
    right = d.chance(0.5)
    guess = item if right else fact(d, item.section, item.holder)
    question = say(d, f"yesno.{item.section}", what=item.holder, v=guess.value)
    answer = f"{'Yes' if guess.value == item.value else 'No'}, {clause(item)}."
    return turn(ABILITY, question, answer, answer)


YES_NO = ("name", "town", "called", "favourite", "thing")


def spell_name(d: Draw, memory: Memory) -> Exchange | None:
    known = memory.facts.get(("name", ""))
    if known is None or not known.value.isalpha() or len(known.value) > 10:
        return None
    if d.chance(0.3):
        backwards = known.value[::-1]
        return turn(words.ABILITY, say(d, "reversename.ask"), backwards, backwards)
    spelled = words.spelled(known.value)
    return turn(words.ABILITY, say(d, "spellname.ask"), spelled, spelled)


def note_text(d: Draw) -> str:
    noun, other = d.pick(entries("nouns")), d.pick(entries("nouns"))
    owner = d.pick((f"the {other}", f"the {other}", f"the {other}", values.name(d)))
    return f"the {noun} {d.pick(NOTE_VERBS)} {owner}"


def take_note(d: Draw, memory: Memory) -> Exchange:
    memory.note = note_text(d)
    answer = f"Got it, I will remember: {memory.note}."
    return turn(ABILITY, say(d, "note.tell", tone=Tone.TELL, v=memory.note), answer)


def ask_note(d: Draw, memory: Memory) -> Exchange:
    if not memory.note:
        answer = "You have not told me to remember anything yet."
        return turn(ABILITY, say(d, "note.ask"), answer, answer)
    answer = f"You told me to remember: {memory.note}."
    return turn(ABILITY, say(d, "note.ask"), answer, memory.note)


def as_json(items: list[Fact]) -> str:
    pairs = {kinds.key(f): int(f.value) if f.section == "age" else f.value for f in items}
    return json.dumps(pairs, ensure_ascii=False)


def tell_json(d: Draw, memory: Memory) -> Exchange:
    """Facts told and wanted back as JSON, in one message."""
    told = [f for f in new_facts(d, d.between(1, 3)) if f.section != "secret"]
    if not told:
        return take_note(d, memory)
    memory.keep(told)
    section = "json.one" if len(told) == 1 else "json.keys"
    command = say(d, section, keys=joined([kinds.key(f) for f in told]))
    statement = tell_sentence(d, told).rstrip(",;: ")
    mark = "" if statement.endswith((".", "!", "?")) else "."
    exchange = turn("json", f"{statement}{mark} {command}", as_json(told), as_json(told))
    return replace(exchange, values=told_values(told))


def ask_json(d: Draw, memory: Memory) -> Exchange | None:
    """Told facts as a JSON object with the keys the user names."""
    known = [f for f in memory.facts.values() if f.section != "secret"]
    if not known:
        return None
    chosen = d.sample(known, d.between(1, min(4, len(known))))
    keys = joined([kinds.key(f) for f in chosen])
    section = "json.one" if len(chosen) == 1 else "json.keys"
    answer = as_json(chosen)
    return turn("json", say(d, section, keys=keys), answer, answer)


QUESTIONS: tuple[tuple[int, Callable[[Draw, Memory], Exchange | None]], ...] = (
    (10, ask_missing),
    (8, ask_two),
    (5, ask_all),
    (6, yes_or_no),
    (5, ask_json),
    (3, spell_name),
    (63, ask_one),
)
CHOICES = tuple(question for weight, question in QUESTIONS for _ in range(weight))


def recall(d: Draw, memory: Memory) -> Exchange | None:
    """One question about what was told, of any form that fits."""
    return d.pick(CHOICES)(d, memory)


def thread(d: Draw, length: int) -> list[Exchange]:
    """A course of `length` exchanges that begins with telling and then mixes everything."""
    memory, done = Memory(), list[Exchange]()
    while len(done) < length:
        last = done and len(done) == length - 1
        step = recall(d, memory) if last else next_step(d, memory, first=not done)
        if step is not None:
            done.append(step)
    return done


def next_step(d: Draw, memory: Memory, *, first: bool) -> Exchange | None:
    roll = d.rng.random()
    if (first and roll < 0.92) or roll < 0.13:
        return tell_new(d, memory)
    if roll < 0.22 and memory.facts:
        return correct(d, memory)
    if roll < 0.24:
        return tell_json(d, memory)
    if roll < 0.28:
        return take_note(d, memory)
    if roll < 0.33 and (memory.note or d.chance(0.1)):
        return ask_note(d, memory)
    return recall(d, memory)


def tell_new(d: Draw, memory: Memory) -> Exchange:
    count = d.pick((1, 1, 1, 1, 2, 2, 2, 3, 4))
    told = [f for f in new_facts(d, count) if f.subject not in memory.facts]
    return tell(d, memory, told) if told else correct(d, memory)
