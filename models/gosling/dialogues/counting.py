"""Counting up, down and in steps, and the number before or after."""

from models.gosling.dialogues.draw import Draw, held
from models.gosling.dialogues.messages import Exchange, Split, turn
from models.gosling.dialogues.surface import say
from models.gosling.dialogues.wording import spoken

ABILITY = "counting"
SECTIONS = ("up", "up", "up", "to", "down", "down", "step", "step", "after", "before")
STEPS = (2, 2, 2, 5, 5, 10, 10, 3, 4)
STEP_WORDS = {2: "twos", 3: "threes", 4: "fours", 5: "fives", 10: "tens"}


def span(d: Draw, section: str) -> tuple[int, int, int]:
    """(first, last, step) of a count the split allows; at most 21 numbers."""
    while True:
        first, last, step = raw_span(d, section)
        if held(f"{first}:{last}:{step}") == (d.split is Split.HELD_VALUES):
            return first, last, step


def raw_span(d: Draw, section: str) -> tuple[int, int, int]:
    if section == "to":
        return 1, d.between(2, 21), 1
    length = d.pick((2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20))
    if section == "step":
        step = d.pick(STEPS)
        first = d.pick((0, step, step, d.between(0, 30)))
        return first, first + step * min(length, 12), step
    first = d.pick((d.between(0, 10), d.between(0, 10), d.between(0, 79)))
    return (first + length, first, -1) if section == "down" else (first, first + length, 1)


def recited(first: int, last: int, step: int) -> str:
    stop = last + (1 if step > 0 else -1)
    return ", ".join(map(str, range(first, stop, step))) + "."


def question(d: Draw, section: str | None = None) -> Exchange:
    section = section or d.pick(SECTIONS)
    if section == "to" and d.split is Split.HELD_VALUES:
        section = "up"  # there are only twenty counts from one, and none of them is held out
    if section in ("after", "before"):
        return neighbour(d, section)
    first, last, step = span(d, section)
    show = spoken if max(first, last) < 100 and d.chance(0.05) else str
    text = say(d, section, a=show(first), b=show(last), s=STEP_WORDS.get(step, str(step)))
    answer = recited(first, last, step)
    return turn(ABILITY, text, answer, answer)


def neighbour(d: Draw, section: str) -> Exchange:
    while True:
        number = d.between(1, 198)
        if held(f"{section}:{number}") == (d.split is Split.HELD_VALUES):
            break
    answer = f"{number + (1 if section == 'after' else -1)}."
    return turn(ABILITY, say(d, section, a=str(number)), answer, answer)
