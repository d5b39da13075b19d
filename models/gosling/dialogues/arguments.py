"""Arguments and results of tools: what the user writes, the JSON value, and its type."""

from collections.abc import Callable

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.kinds import DAYS, MONTHS
from models.gosling.dialogues.sums import operands
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import plural

Value = str | int | float | bool
Shown = tuple[str, Value]

ROOMS = (
    "kitchen", "bedroom", "bathroom", "living room", "garage", "hall", "office", "garden", "attic",
    "cellar", "nursery", "study", "corridor", "dining room", "basement", "porch", "workshop",
)  # fmt: skip
CURRENCIES = ("euros", "dollars", "pounds", "yen", "francs", "rupees", "kroner", "pesos", "yuan")
MEASURES = (
    "metres", "feet", "miles", "kilometres", "inches", "litres", "gallons", "grams", "pounds",
    "ounces", "celsius", "fahrenheit", "hours", "seconds", "yards", "kilos",
)  # fmt: skip
SKIES = ("sunny", "cloudy", "rain", "snow", "fog", "windy", "storm", "clear", "showers", "hail")
ENDINGS = ("txt", "pdf", "md", "csv", "py", "json", "png", "docx", "log", "html")
SHORT = (
    "I am late", "see you soon", "dinner is ready", "call me back", "I am on my way", "good luck",
    "the train is late", "happy birthday", "where are you", "thank you for everything", "I am home",
    "the printer is broken", "the door does not open", "no internet", "the screen is black",
    "the app crashes", "I miss you", "the light is off", "the meeting is over", "we won the game",
)  # fmt: skip
PARCEL = ("on the way", "delivered", "packed", "delayed", "returned", "waiting")


def text(make: Callable[[Draw], str]) -> Callable[[Draw], Shown]:
    """A value that is written as it is passed."""

    def shown(d: Draw) -> Shown:
        value = make(d)
        return value, value

    return shown


def integer(low: int, high: int) -> Callable[[Draw], Shown]:
    def shown(d: Draw) -> Shown:
        value = d.between(low, high)
        return str(value), value

    return shown


def decimal(d: Draw) -> Shown:
    value = round(d.between(1, 9999) / d.pick((10, 100)), 2)
    return str(value), value


def clock(d: Draw) -> str:
    hour, minute = d.between(0, 23), d.pick((0, 0, 15, 30, 45, d.between(0, 59)))
    return d.pick((f"{hour}:{minute:02d}", f"{hour:02d}:{minute:02d}"))


def day(d: Draw) -> str:
    roll = d.rng.random()
    if roll < 0.45:
        return d.pick(DAYS)
    if roll < 0.6:
        return d.pick(("tomorrow", "today"))
    if roll < 0.8:
        return f"{d.between(1, 28)} {d.pick(MONTHS)}"
    return f"20{d.between(20, 39)}-{d.between(1, 12):02d}-{d.between(1, 28):02d}"


def sentence(d: Draw) -> str:
    """A short text: a stock phrase or a few nouns."""
    if d.chance(0.4):
        return d.pick(SHORT)
    name, noun = values.name(d), d.pick(entries("nouns"))
    return d.pick((f"bring the {noun}", f"hello {name}", f"the {noun} is here", f"where is {name}"))


def subject(d: Draw) -> str:
    roll = d.rng.random()
    if roll < 0.35:
        return d.pick(entries("topics"))
    if roll < 0.7:
        return f"{d.pick(entries('adjectives'))} {d.pick(entries('nouns'))}".lower()
    return values.word(d) if roll < 0.85 else values.name(d)


def title(d: Draw) -> str:
    name = values.name(d) if d.chance(0.5) else values.titled(values.word(d))
    return d.pick((f"Hotel {name}", f"Café {name}", f"The {name}")) if d.chance(0.3) else name


def file(d: Draw) -> str:
    stem = values.word(d) if d.chance(0.7) else f"{values.word(d)}_{d.between(1, 99)}"
    folder = f"{d.pick(('docs', 'src', 'home', 'data', 'tmp'))}/" if d.chance(0.2) else ""
    return f"{folder}{stem}.{d.pick(ENDINGS)}"


def ticker(d: Draw) -> str:
    return d.fresh(lambda: values.scrambled(d)[: d.between(2, 4)].upper() + "X")


def calculation(d: Draw) -> Shown:
    """An expression, shown with signs or in words."""
    operation = d.pick("+-*")
    a, b = operands(d, "+" if operation == "*" else operation)
    words = {"+": "plus", "-": "minus", "*": "times"}
    spaced = f"{a} {operation} {b}"
    return d.pick((spaced, spaced, f"{a}{operation}{b}", f"{a} {words[operation]} {b}")), spaced


def switch(d: Draw) -> Shown:
    on = d.chance(0.5)
    return "on" if on else "off", on


def lock(d: Draw) -> Shown:
    locked = d.chance(0.5)
    return "lock" if locked else "unlock", locked


def done(d: Draw) -> Shown:
    value = d.pick(("ok", "ok", "done", "sent", "success"))
    return value, value


MAKERS: dict[str, Callable[[Draw], Shown]] = {
    "town": text(values.town),
    "name": text(values.name),
    "word": text(values.word),
    "subject": text(subject),
    "short": text(sentence),
    "title": text(title),
    "file": text(file),
    "ticker": text(ticker),
    "clock": text(clock),
    "day": text(day),
    "task": text(lambda d: values.listed(d, "tasks")),
    "food": text(lambda d: values.listed(d, "foods")),
    "language": text(lambda d: d.pick(entries("languages"))),
    "room": text(lambda d: d.pick(ROOMS)),
    "currency": text(lambda d: d.pick(CURRENCIES)),
    "measure": text(lambda d: d.pick(MEASURES)),
    "sky": text(lambda d: d.pick(SKIES)),
    "unit": text(lambda d: d.pick(("celsius", "fahrenheit"))),
    "vehicle": text(lambda d: d.pick(("car", "bike", "bus", "train", "foot"))),
    "plural": text(lambda d: plural(d.pick(entries("nouns")))),
    "parcel": text(lambda d: d.pick(PARCEL)),
    "colour": text(lambda d: values.listed(d, "colours")),
    "degrees": integer(-15, 40),
    "small": integer(2, 12),
    "integer": integer(1, 999),
    "decimal": decimal,
    "sum": calculation,
    "switch": switch,
    "locked": lock,
    "done": done,
}
TYPES = {
    "degrees": "integer", "small": "integer", "integer": "integer", "decimal": "number",
    "switch": "boolean", "locked": "boolean",
}  # fmt: skip


def json_type(maker: str) -> str:
    return TYPES.get(maker, "string")
