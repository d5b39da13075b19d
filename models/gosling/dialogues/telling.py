"""Facts told by the user, alone or several in a message, and corrected; the latest value wins.

The model acknowledges with the facts as it understood them.
"""

from dataclasses import dataclass, field

from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.kinds import Fact, clause, fact
from models.gosling.dialogues.messages import Exchange, Message
from models.gosling.dialogues.phrases import choose
from models.gosling.dialogues.surface import Tone, say
from models.gosling.dialogues.wording import article, joined

ABILITY = "facts"


@dataclass(slots=True)
class Memory:
    """What the user has told, in the order first told."""

    facts: dict[tuple[str, str], Fact] = field(default_factory=dict)
    note: str = ""

    def keep(self, told: list[Fact]) -> None:
        for item in told:
            self.facts[item.subject] = item


def fill(item: Fact) -> dict[str, str]:
    return {"v": item.value, "what": item.holder, "a": article(item.value)}


def acknowledge(told: list[Fact]) -> str:
    if len(told) == 1 and told[0].section == "name":
        return f"Nice to meet you, {told[0].value}!"
    return f"Got it, {joined([clause(item) for item in told])}."


def tell_sentence(d: Draw, told: list[Fact]) -> str:
    """Several facts in one message, as sentences or joined by commas and `and`."""
    if len(told) == 1:
        return say(d, f"{told[0].section}.tell", tone=Tone.TELL, **fill(told[0]))
    low, run_on = d.chance(0.2), d.chance(0.55)
    parts = []
    for i, item in enumerate(told):
        phrase = choose(d, f"{item.section}.tell")
        form = phrase.lower if low else phrase.middle if run_on and i else phrase.text
        parts.append(form.rstrip(".?!").format(**fill(item)))
    return join_told(d, parts, run_on)


def join_told(d: Draw, parts: list[str], run_on: bool) -> str:
    end = "." if d.chance(0.75) else ""
    if not run_on:
        return ". ".join(parts) + end
    link = d.pick((" and ", ", and ", ", ")) if len(parts) == 2 else d.pick((" and ", ", and "))
    return ", ".join(parts[:-1]) + link + parts[-1] + end


def told_values(told: list[Fact]) -> tuple[str, ...]:
    return tuple(item.value for item in told)


def tell(d: Draw, memory: Memory, told: list[Fact]) -> Exchange:
    memory.keep(told)
    messages = Message("user", tell_sentence(d, told)), Message("assistant", acknowledge(told))
    return Exchange(ABILITY, messages, (), told_values(told))


def correct(d: Draw, memory: Memory) -> Exchange:
    """The user replaces a fact; the model repeats the new one."""
    old = d.pick(list(memory.facts.values()))
    new = fact(d, old.section, old.holder)
    memory.keep([new])
    opener, phrase = choose(d, "fix.open").text, choose(d, f"{new.section}.tell")
    body = phrase.middle if opener.endswith((",", ":")) else phrase.text
    text = f"{opener} {body.format(**fill(new))}"
    answer = Message("assistant", f"Got it, {clause(new)}.")
    return Exchange(ABILITY, (Message("user", text), answer), (), (new.value,))


def new_facts(d: Draw, count: int) -> list[Fact]:
    """Facts of different subjects and different values."""
    found: dict[tuple[str, str], Fact] = {}
    while len(found) < count:
        item = fact(d)
        if all(item.value != other.value for other in found.values()):
            found[item.subject] = item
    return list(found.values())
