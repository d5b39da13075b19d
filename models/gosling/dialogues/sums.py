"""Addition and subtraction of numbers from 0 to 99, in figures, in words and as small stories."""

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw, held
from models.gosling.dialogues.messages import Exchange, Split, turn
from models.gosling.dialogues.surface import say
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import plural, spoken

ABILITY = "arithmetic"


def held_sum(a: int, operation: str, b: int) -> bool:
    """True for one sum in twenty; a+b and b+a go together."""
    if operation == "+":
        a, b = min(a, b), max(a, b)
    return held(f"{a}{operation}{b}")


def operands(d: Draw, operation: str, *, fewer: bool = False) -> tuple[int, int]:
    """Two numbers whose sum the split allows; `fewer` asks for a difference of 0 or more."""
    wanted = d.split is Split.HELD_VALUES
    while True:
        top = d.pick((99, 99, 99, 99, 20))
        a, b = d.between(0, top), d.between(0, top)
        if fewer and b > a:
            a, b = b, a
        if operation == "-" and b > a and d.chance(0.4):
            a, b = b, a
        if held_sum(a, operation, b) == wanted:
            return a, b


def solve(a: int, operation: str, b: int) -> tuple[str, str]:
    """(answer, its essential part)"""
    result = a + b if operation == "+" else a - b
    return f"{a} {operation} {b} = {result}.", f"= {result}."


def plain(d: Draw, operation: str) -> Exchange:
    a, b = operands(d, operation)
    section = "sum.add" if operation == "+" else "sum.subtract"
    shown = (spoken(a), spoken(b)) if d.chance(0.06) else (str(a), str(b))
    return turn(ABILITY, say(d, section, a=shown[0], b=shown[1]), *solve(a, operation, b))


def story(d: Draw, operation: str) -> Exchange:
    a, b = operands(d, operation, fewer=operation == "-")
    section = "sum.more" if operation == "+" else "sum.fewer"
    name, other = d.distinct(lambda: values.name(d), 2)
    things = plural(d.pick(entries("nouns")))
    text = say(d, section, a=str(a), b=str(b), name=name, other=other, things=things)
    return turn(ABILITY, text, *solve(a, operation, b))


def question(d: Draw, *, told: bool | None = None) -> Exchange:
    """A sum; `told` forces (or forbids) a story."""
    operation = d.pick("+-")
    as_story = d.chance(0.16) if told is None else told
    return story(d, operation) if as_story else plain(d, operation)
