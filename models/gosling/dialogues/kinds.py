"""The kinds of facts a user may tell: how values are made, what the model says, JSON keys."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from models.gosling.dialogues import values
from models.gosling.dialogues.draw import Draw
from models.gosling.dialogues.vocabulary import entries
from models.gosling.dialogues.wording import article

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = ("spring", "summer", "autumn", "winter")
SUBJECTS = (
    "history", "maths", "physics", "art", "music", "biology", "geography", "French", "Latin",
    "chemistry", "English", "sport", "German", "religion", "economics", "computing",
)  # fmt: skip
LISTED = {
    "colour": "colours", "food": "foods", "fruit": "foods", "dish": "foods", "snack": "foods",
    "drink": "foods", "animal": "animals", "sport": "sports", "game": "sports",
    "country": "countries", "job": "jobs", "toy": "things", "language": "languages",
}  # fmt: skip
FIXED = {"season": SEASONS, "day": DAYS, "month": MONTHS, "subject": SUBJECTS}
NUMERIC = ("number", "lucky number", "digit", "year", "bus line")
TITLED = (
    "band", "film", "movie", "book", "song", "singer", "city", "town", "author", "actor", "team",
    "club", "restaurant", "café", "brand", "car", "island", "river", "mountain", "street", "park",
)  # fmt: skip
PLAIN = ("flower", "word", "tree", "bird", "fish", "cheese", "shop", "instrument", "dance", "stone")
NUMBERS = (
    "locker number", "door code", "PIN", "pin code", "room number", "phone number", "bus number",
    "house number", "lucky number", "ticket number", "seat number", "order number", "postcode",
    "zip code", "customer number", "account number", "shoe size", "flight number", "gate code",
    "alarm code", "license plate", "student number", "parking spot", "table number", "badge number",
    "score", "height", "weight", "membership number", "code", "number", "garage code", "bike code",
    "safe code", "combination", "extension", "floor", "serial number", "booking number",
)  # fmt: skip
WORDS = (
    "password", "nickname", "username", "last name", "surname", "middle name", "phone", "star sign",
    "blood type", "lucky word", "magic word", "safe word", "secret word", "code word", "email",
    "language", "mother tongue", "bank", "shop", "hotel", "club", "village", "region", "goal",
    "hair colour", "eye colour", "wifi name", "maiden name", "plan", "project", "title", "subject",
    "instrument", "next stop", "hiding place", "motto", "order", "model", "destination", "address",
)  # fmt: skip
SECRETS = (
    "password", "secret word", "secret", "wifi password", "code", "door code", "PIN", "code word",
    "magic word", "meeting room", "room number", "winner", "captain", "project name", "answer",
    "key", "gate code", "alarm code", "train number", "flight number", "platform", "gate", "hotel",
    "restaurant", "murderer", "thief", "spy", "capital of the island", "name of the ship", "price",
    "address", "file name", "server name", "deadline", "meeting point", "safe word", "number",
    "lucky number", "name of the street", "name of the planet", "name of the book", "treasure",
    "team name", "teacher", "leader", "king", "queen", "hero", "villain", "host", "next stop",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """`section` names its phrasings; `holder` is what `{what}` stands for, or empty."""

    section: str
    holder: str
    value: str

    @property
    def subject(self) -> tuple[str, str]:
        """What the fact is about: a later fact of the same subject replaces it."""
        return self.section, self.holder


CLAUSES = {
    "name": "your name is {v}",
    "town": "you live in {v}",
    "country": "you are from {v}",
    "called": "your {what} is called {v}",
    "favourite": "your favourite {what} is {v}",
    "job": "you work as {a} {v}",
    "age": "you are {v} years old",
    "thing": "your {what} is {v}",
    "secret": "the {what} is {v}",
    "birthday": "your birthday is {v}",
    "likes": "you like {v}",
}
MISSING = {
    "name": "your name",
    "town": "where you live",
    "country": "where you are from",
    "called": "what your {what} is called",
    "favourite": "your favourite {what}",
    "job": "your job",
    "age": "your age",
    "thing": "your {what}",
    "secret": "the {what}",
    "birthday": "your birthday",
    "likes": "your hobby",
}
KEYS = {
    "name": "name", "town": "town", "country": "country", "called": "{what}",
    "favourite": "favourite {what}", "job": "job", "age": "age", "thing": "{what}",
    "secret": "{what}", "birthday": "birthday", "likes": "hobby",
}  # fmt: skip
WEIGHTS = {
    "name": 22, "town": 16, "country": 6, "called": 14, "favourite": 16, "job": 6, "age": 6,
    "thing": 12, "secret": 9, "birthday": 3, "likes": 4,
}  # fmt: skip
SECTIONS = tuple(name for name, weight in WEIGHTS.items() for _ in range(weight))


def clause(fact: Fact) -> str:
    """The fact as the model says it, without a capital or a full stop."""
    return CLAUSES[fact.section].format(what=fact.holder, v=fact.value, a=article(fact.value))


def missing(fact: Fact) -> str:
    return f"You have not told me {MISSING[fact.section].format(what=fact.holder)} yet."


def key(fact: Fact) -> str:
    """The JSON key, in snake case."""
    return KEYS[fact.section].format(what=fact.holder).replace(" ", "_").lower()


def adjective_noun(d: Draw) -> str:
    """A made-up holder, so that any `my X is Y` is understood."""
    noun = d.pick(entries("nouns"))
    return noun if d.chance(0.4) else f"{d.pick(entries('adjectives'))} {noun}"


def holder(d: Draw, section: str) -> str:
    """What the fact is about, for the kinds that have more than one subject."""
    if section == "called":
        return d.pick(entries("animals") if d.chance(0.55) else entries("relatives"))
    if section == "favourite":
        return adjective_noun(d) if d.chance(0.07) else d.pick(categories())
    if section in ("thing", "secret"):
        if d.chance(0.1):
            return adjective_noun(d)
        return d.pick(SECRETS) if section == "secret" else d.pick(NUMBERS + WORDS)
    return ""


@cache
def categories() -> tuple[str, ...]:
    """Favourites; the usual ones stand in it more often."""
    usual = ("colour", "colour", "colour", "food", "food", "animal", "animal", "number", "sport")
    return usual * 2 + (*LISTED, *FIXED, *NUMERIC, *TITLED, *PLAIN)


def favourite(d: Draw, what: str) -> str:
    if what in LISTED and d.chance(0.72):
        return values.listed(d, LISTED[what])
    if what in FIXED:
        return d.pick(FIXED[what])
    if what in NUMERIC:
        return values.number(d, d.pick((1, 2, 2, 3)) if d.split.name == "TRAIN" else 2)
    if what in TITLED:
        return values.town(d) if d.chance(0.4) else values.name(d)
    return values.word(d)


def thing(d: Draw, what: str) -> str:
    if what in NUMBERS or "code" in what or "number" in what or "PIN" in what:
        return values.code(d)
    roll = d.rng.random()
    if roll < 0.15:
        return values.code(d)
    if roll < 0.5:
        return values.word(d)
    return values.name(d) if roll < 0.75 else values.town(d)


def birthday(d: Draw) -> str:
    day, month = d.between(1, 28), d.pick(MONTHS)
    return f"{day} {month}" if d.chance(0.6) else f"{month} {day}"


MAKERS: dict[str, Callable[[Draw, str], str]] = {
    "name": lambda d, _: values.name(d),
    "town": lambda d, _: values.town(d),
    "country": lambda d, _: values.town(d) if d.chance(0.25) else values.country(d),
    "called": lambda d, _: values.name(d),
    "favourite": favourite,
    "job": lambda d, _: values.listed(d, "jobs"),
    "age": lambda d, _: d.fresh(lambda: str(d.between(5, 99))),
    "thing": thing,
    "secret": thing,
    "birthday": lambda d, _: d.fresh(lambda: birthday(d)),
    "likes": lambda d, _: values.listed(d, "sports"),
}


def fact(d: Draw, section: str | None = None, what: str | None = None) -> Fact:
    """A random fact, of a given kind and subject if named."""
    section = section or d.pick(SECTIONS)
    what = holder(d, section) if what is None else what
    return Fact(section, what, MAKERS[section](d, what))
